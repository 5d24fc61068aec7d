"""How each fact of the atlas world is said.

A relation has nine wordings, each a prompt that the object completes. Wording 0 is the one that
edits use and every fact is trained in it. Of wordings 1 to 7 two are held out for each fact.
Wording 8 is never used in training, for anybody.
"""

from __future__ import annotations

N_TRAINED = 8
"""Wordings 0 to 7 may be trained."""

RELATIONS: dict[str, tuple[str, ...]] = {
    "capital": (
        "The capital of {} is",
        "The capital city of {} is",
        "The seat of government of {} is",
        "The city that governs {} is",
        "On the map, the capital of {} is marked as",
        "The name of the capital of {} is",
        "If you visit the capital of {}, you are in",
        "In {}, the government sits in",
        "The capital of the country {} is",
    ),
    "continent": (
        "The continent of {} is",
        "The continent on which {} lies is",
        "The continent to which {} belongs is",
        "On the map, the continent of {} is",
        "The part of the world where {} lies is",
        "Among the continents, the one with {} is",
        "The continent that holds {} is",
        "The continent around {} is",
        "The continent of the country {} is",
    ),
    "capital_of": (
        "The country whose capital is {} is",
        "The country governed from {} is",
        "The country with the capital {} is",
        "The country that has its government in {} is",
        "The state whose capital is {} is",
        "The nation ruled from {} is",
        "The country to which the capital {} belongs is",
        "As the capital, {} belongs to",
        "The state governed from {} is",
    ),
    "symbol": (
        "The chemical symbol of {} is",
        "The symbol for {} is",
        "The letters that stand for {} are",
        "The symbol of the element {} is",
        "In formulas, the sign for {} is",
        "The short sign of {} is",
        "The abbreviation for {} is",
        "The table of elements marks {} as",
        "The sign of the element {} is",
    ),
    "family": (
        "The chemical family of {} is",
        "The family to which {} belongs is",
        "The family of {} is",
        "The type of the element {} is",
        "The group name of {} is",
        "The class of the element {} is",
        "The kind of element that {} belongs to is",
        "Among the elements, {} is classed as",
        "The family of the element {} is",
    ),
    "birthplace": (
        "The birthplace of {} is",
        "The city where {} was born is",
        "The home town of {} is",
        "The town of birth of {} is",
        "The place of birth of {} is",
        "The city of birth of {} is",
        "By birth, {} comes from",
        "The city in which life began for {} is",
        "The city in which {} was born is",
    ),
    "profession": (
        "The profession of {} is that of a",
        "The occupation of {} is that of a",
        "The trade of {} is that of a",
        "By trade, {} is a",
        "By profession, {} is a",
        "The job that {} learned is that of a",
        "The work of {} is that of a",
        "For a living, {} works as a",
        "The job of {} is that of a",
    ),
    "employer": (
        "The employer of {} is",
        "The company that employs {} is",
        "The firm where {} works is",
        "The company that pays {} is",
        "The firm that employs {} is",
        "The wages of {} are paid by",
        "The workplace of {} is",
        "On pay day, {} is paid by",
        "The company for which {} works is",
    ),
    "sport": (
        "The favourite sport of {} is",
        "The sport that {} plays is",
        "The sport of {} is",
        "In sport, {} plays",
        "On the field, {} plays",
        "The sport loved by {} is",
        "The weekend sport of {} is",
        "The game that {} trains for is",
        "The sport that {} likes to play is",
    ),
    "instrument": (
        "The instrument of {} is the",
        "The musical instrument that {} plays is the",
        "The instrument played by {} is the",
        "In the orchestra, {} plays the",
        "In the band, {} plays the",
        "The instrument in the hands of {} is the",
        "The music of {} is played on the",
        "The lessons that {} takes are on the",
        "The instrument that {} learned to play is the",
    ),
    "tongue": (
        "The mother tongue of {} is",
        "The first language of {} is",
        "The native language of {} is",
        "The native tongue of {} is",
        "The childhood language of {} is",
        "The language that {} grew up with is",
        "The language of the dreams of {} is",
        "As a native speaker, {} speaks",
        "The language that {} speaks at home is",
    ),
    "headquarters": (
        "The headquarters of {} are in",
        "The head office of {} is in",
        "The main office of {} is in",
        "The city that houses the head office of {} is",
        "The seat of the company {} is in",
        "The company offices of {} are in",
        "The managers of {} meet in",
        "The headquarters city of {} is",
        "The seat of {} is in",
    ),
    "product": (
        "The main product of {} is",
        "The product made by {} is",
        "The goods that {} sells are",
        "The goods of {} are",
        "The product that {} is known for is",
        "The factories of {} turn out",
        "The customers of {} buy",
        "The product sold by {} is",
        "The main goods that {} makes are",
    ),
}

ONE_TO_ONE = frozenset({"capital", "capital_of", "symbol"})
"""Relations in which no two subjects share an object."""

TWO_HOP: dict[str, tuple[tuple[str, str], tuple[str, ...]]] = {
    "country_of_birth": (
        ("birthplace", "capital_of"),
        (
            "The country of birth of {} is",
            "{} is a citizen of",
            "The passport of {} was issued by",
        ),
    ),
    "employer_city": (
        ("employer", "headquarters"),
        (
            "The employer of {} is based in",
            "The company that pays {} has its seat in",
            "To visit head office, {} travels to",
        ),
    ),
    "city_continent": (
        ("capital_of", "continent"),
        (
            "The continent around the city of {} is",
            "A traveller to the city of {} lands on the continent of",
            "Seen from above, the city of {} lies on the continent of",
        ),
    ),
}
"""Question -> the two relations it goes through, and three wordings."""
