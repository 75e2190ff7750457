"""Command of the course."""

from pathlib import Path

import click

from datadiet import paths
from datadiet.errors import InputError

WITHOUT_A_CLONE = (
    "course: notebooks and slides are made from the chapters, which the installed package does not hold, and no clone of the "
    "book is here ({why}). Clone the book's repository, install it there with make test, and run the command inside the clone."
)


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Write into a folder that exists; files of the same names are replaced.")
def course(out, force):
    """Write a course to the folder OUT: notebooks for students and instructors, slides, the published runs as tables.

    Needs a clone of the book. Chapters show their published runs; an unchanged one is not executed again.

    \b
    Example: datadiet course spring-term
    """
    try:
        paths.root()
    except InputError as problem:
        raise InputError(WITHOUT_A_CLONE.format(why=str(problem).partition(". ")[0])) from None
    try:
        from datadiet.course.write import write
    except ModuleNotFoundError as problem:
        raise InputError(f"course: the package {problem.name} is missing, one of those that the book is made with; run "
                         "pip install -e '.[book]' in the clone.") from None
    from datadiet.cli.book import kernels_are_ours

    kernels_are_ours()
    click.echo(", ".join(f"{count} in {folder}/" for folder, count in write(out, force).items()))
