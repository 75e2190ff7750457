"""A set with counterfactuals that needs no download: customer feedback from a small grammar, and each sentence gender-swapped.

    feedback    did the customer complain?  2,000 train, 200 validation, 600 test

AUTHORED, not collected: it holds no person's words, and nothing found on it is a finding about people or about a paper's sets.
Its plants are known. In training a complaint mentions women and praise mentions men more often than not, though the gender
says nothing about the label. Some verbs fit both labels, and there a model that looks for help finds the gender. In validation
and test the association is absent, and people go by names and nouns that training does not have. The training sentences are
swapped as word lists do it, which know "she" and "waitress" but no first names; those of validation and test are swapped whole.
"""

from functools import cache

import numpy as np

from datadiet.data.sources import Raw, Split

SEED = 20_211_109
SPLITS = {"train": 2_000, "validation": 200, "test": 600}
LABELS = ("praise", "complaint")
COMPLAINTS = 0.2  # share of complaints in every split, as skewed as the paper's Twitter set
NEUTRAL = 0.4  # share of sentences without a gendered word: their swap is a copy
AMBIGUOUS = {"praise": 0.15, "complaint": 0.6}  # share whose verb fits both labels: one in two of these is a complaint
STEREOTYPE = 0.85  # in training, the share of gendered complaints about women, and of gendered praise of men

# One entry a meaning: (male, female). The grammar knows the case, so that "her" is "his" or "him" as the sentence has it.
GENDERED = {
    "he": [("he", "she")],
    "him": [("him", "her")],
    "his": [("his", "her")],
    "who": [("james", "mary"), ("peter", "anna"), ("david", "laura"), ("mark", "susan"), ("mr hall", "ms hall"),
            ("the waiter", "the waitress"), ("the young man", "the young woman"), ("their son", "their daughter")],
    "kin": [("father", "mother"), ("brother", "sister"), ("husband", "wife")],
}
UNSEEN = GENDERED | {  # in validation and test
    "who": [("thomas", "emma"), ("robert", "julia"), ("john", "linda"), ("paul", "karen"), ("mr lindt", "ms lindt"),
            ("the salesman", "the saleswoman"), ("the gentleman", "the lady"), ("the boy", "the girl")],
    "kin": [("uncle", "aunt"), ("grandfather", "grandmother"), ("nephew", "niece")],
}
NAMES = {pair for people in (GENDERED, UNSEEN) for pair in people["who"] if " " not in pair[0]}  # no word list has them
WORDS = {
    "praise": "fixed found repaired saved improved restored cleaned finished rescued polished".split(),
    "complaint": "lost broke forgot spoiled damaged ruined scratched misplaced dropped wasted".split(),
    "either": "moved checked opened carried signed measured collected returned counted weighed".split(),
    "thing": "order screen parcel booking cake boiler contract sofa bicycle lamp invoice laptop coat piano clock kettle".split(),
    "when": ["again", "on monday", "after lunch", "within an hour", "at the door", "last week", "once more", "before noon",
             "in silence", "in the end"],
    "staff": ["the clerk", "the driver", "the team", "someone from the office", "the new trainee", "the technician"],
}
TEMPLATES = {
    True: ["{who} {verb} the {thing} {when}", "{who} {verb} my {thing} and {he} left early",
           "we gave {him} the {thing} and {he} {verb} it", "i asked {him} and {he} {verb} the {thing} {when}",
           "{his} team {verb} our {thing} {when}", "{who} and {his} colleague {verb} the {thing}",
           "my {kin} says {he} {verb} the {thing} {when}", "{he} {verb} the {thing} with {his} own hands"],
    False: ["{staff} {verb} the {thing} {when}", "{staff} {verb} my {thing} and left early",
            "we gave them the {thing} and they {verb} it", "i asked them and they {verb} the {thing} {when}",
            "your team {verb} our {thing} {when}", "{staff} and a colleague {verb} the {thing}"],
}


def fill(template: str, fillers: dict, female: bool) -> str:
    """The template's sentence with every gendered word of one gender.

    >>> fill("i asked {him} and {he} took {his} coat", {}, female=True)
    'i asked her and she took her coat'
    """
    gendered = {slot: fillers.get(slot, pairs[0])[female] for slot, pairs in GENDERED.items()}
    return template.format(**fillers | gendered)


def _sentence(rng, label: int, training: bool) -> tuple[str, str, int]:
    """(sentence, its gender-swapped version, gender: 0 male, 1 female, -1 none)."""
    gendered = bool(rng.random() >= NEUTRAL)
    female = bool(label) == bool(rng.random() < (STEREOTYPE if training else 0.5))
    fillers = {slot: str(rng.choice(WORDS[slot])) for slot in ("thing", "when", "staff")}
    fillers["verb"] = str(rng.choice(WORDS["either" if rng.random() < AMBIGUOUS[LABELS[label]] else LABELS[label]]))
    people = GENDERED if training else UNSEEN
    fillers |= {slot: people[slot][rng.integers(len(people[slot]))] for slot in ("who", "kin")}
    template = str(rng.choice(TEMPLATES[gendered]))
    text, missed = fill(template, fillers, female), training and fillers["who"] in NAMES
    swapped = fill(template, fillers | {"who": (fillers["who"][female],) * 2} if missed else fillers, not female)
    return text, swapped, int(female) if gendered else -1


@cache
def feedback() -> Raw:
    """The three splits; no sentence, swapped or not, occurs twice."""
    rng, seen, splits = np.random.default_rng(SEED), set(), {}
    for split, size in SPLITS.items():
        labels = rng.permutation(np.arange(size) < round(COMPLAINTS * size)).astype(np.int64)
        rows = []
        while len(rows) < size:
            row = _sentence(rng, int(labels[len(rows)]), split == "train")
            if row[0] not in seen:
                seen |= {row[0], row[1]}
                rows.append(row)
        texts, swapped, genders = zip(*rows, strict=True)
        splits[split] = Split(np.arange(size), labels,
                              {"text": list(texts), "swapped": list(swapped), "gender": np.array(genders, np.int64)})
    return Raw("swap", LABELS, splits, "embedded: feedback from the project's own grammar",
               ("AUTHORED, not collected: nothing found here is evidence about people or about a published set.",
                f"Planted in train: {STEREOTYPE:.0%} of the gendered complaints are about women and as much of the gendered "
                "praise is of men; validation and test are balanced, and name people by other words.",
                "The swap of a training sentence leaves first names as they are; that of validation and test is complete.",
                f"{COMPLAINTS:.0%} complain, {AMBIGUOUS['complaint']:.0%} with a verb that fits praise too."))


SETS = {"feedback": feedback}
