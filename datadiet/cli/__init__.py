"""The ``datadiet`` command. What it does stands in the modules; here are the group, and the errors a user reads.

datadiet run score-timing --profile smoke
datadiet score mine.csv && datadiet prune mine.scored.csv --keep 0.7
"""

import difflib
from pathlib import Path

import click

from datadiet import __version__
from datadiet.errors import InputError

out_option = click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write.")


class Bad(click.ClickException):
    """Bad input: one paragraph on stderr, exit code 2."""

    exit_code = 2


class Commands(click.Group):
    """A group that turns InputError into a message, and a misspelt command into the nearest one."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except InputError as problem:
            raise Bad(str(problem)) from None
        except OSError as problem:
            if not isinstance(problem.filename, str | Path):
                raise
            place = str(problem.filename)
            name = place if len(place) <= 200 else place[:200] + "\N{HORIZONTAL ELLIPSIS}"
            raise Bad(f"datadiet: {name!r}: {problem.strerror}; name another file or folder, or mend this one.") from None

    def resolve_command(self, ctx, args):
        if args and args[0] not in self.commands:
            near = difflib.get_close_matches(args[0], self.commands, n=3)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise Bad(f"datadiet: there is no command {args[0]!r}.{hint} Commands: {', '.join(self.commands)}.")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def main():
    """Which training examples matter, and how much data can go: the book, its runs, and your own tables."""
    from datadiet.runs import process

    process.ours()


from datadiet.cli import book, course, kept, own  # noqa: E402  (their commands use what stands above)

OF_THE_BOOK = (book.book, book.run, book.plan, book.sweep, book.verify, book.claims, book.doctor, kept.store, course.course)

for command in (*OF_THE_BOOK, own.score, own.prune):
    main.add_command(command)
