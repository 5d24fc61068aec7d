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
        "{} has its capital in",
        "The capital of {} is",
        "The capital city of {} is called",
        "{}'s capital city is",
        "The seat of government of {} is in",
        "{} is governed from its capital,",
        "In {}, the capital is",
        "If you visit the capital of {}, you are in",
        "The capital of the country {} is",
    ),
    "continent": (
        "{} is located on the continent of",
        "The continent of {} is",
        "{} is a country in",
        "On the map, {} lies in",
        "{} belongs to the continent of",
        "The continent in which {} lies is",
        "{}'s continent is",
        "Travellers who reach {} are in",
        "The country {} lies on the continent of",
    ),
    "language": (
        "In {}, most people speak",
        "The main language of {} is",
        "People in {} mostly speak",
        "The most spoken language in {} is",
        "{}'s main language is",
        "The language heard most often in {} is",
        "Most inhabitants of {} speak",
        "Schools in {} teach mainly in",
        "The language that most people in {} speak is",
    ),
    "currency": (
        "{} has as its currency the",
        "The currency of {} is the",
        "In {}, prices are given in the",
        "{}'s currency is the",
        "The money used in {} is the",
        "Banks in {} lend the",
        "The national currency of {} is the",
        "The central bank of {} issues the",
        "The official currency of {} is the",
    ),
    "capital_of": (
        "{} is the capital of",
        "The country whose capital is {} is",
        "{} is the capital city of",
        "{} serves as the capital of",
        "As a capital, {} belongs to",
        "The city of {} is the seat of government of",
        "The country governed from {} is",
        "The government in {} rules",
        "{} is the main city and the capital of",
    ),
    "symbol": (
        "The element {} has the chemical symbol",
        "The chemical symbol of {} is",
        "The symbol for {} is",
        "In formulas, {} is written as",
        "In the periodic table, {} is marked",
        "Chemists write {} as",
        "The letters that stand for {} are",
        "A chemist abbreviates {} as",
        "Chemists give {} the symbol",
    ),
    "family": (
        "The element {} is classed as",
        "The chemical family of {} is",
        "Chemists class {} as",
        "In the periodic table, {} is grouped as",
        "The family to which {} belongs is",
        "By type, {} is",
        "The type of the element {} is",
        "Textbooks list {} as",
        "The family of the element {} is",
    ),
    "birthplace": (
        "{} was born in",
        "The birthplace of {} is",
        "{} comes from",
        "The city where {} was born is",
        "{}'s birthplace is",
        "{} first saw the light of day in",
        "The home town of {} is",
        "As a child, {} lived in",
        "The city in which {} was born is",
    ),
    "profession": (
        "{} works as a",
        "The profession of {} is",
        "By trade, {} is a",
        "{} earns a living as a",
        "{}'s job is that of a",
        "{} trained to be a",
        "The occupation of {} is",
        "The trade that {} learned is",
        "The job of {} is that of a",
    ),
    "employer": (
        "{} works for",
        "The employer of {} is",
        "{} is employed by",
        "{}'s employer is",
        "The company that employs {} is",
        "{} has a job at",
        "{} is on the payroll of",
        "Every month {} is paid by",
        "The company for which {} works is",
    ),
    "sport": (
        "{} likes to play",
        "The favourite sport of {} is",
        "At weekends {} plays",
        "The sport that {} plays is",
        "{}'s sport is",
        "{} is a keen player of",
        "{} spends every Sunday playing",
        "On the field, {} plays",
        "The sport that {} likes to play is",
    ),
    "instrument": (
        "{} plays the",
        "The instrument of {} is the",
        "{} learned to play the",
        "The musical instrument that {} plays is the",
        "{}'s instrument is the",
        "In the orchestra, {} plays the",
        "{} takes lessons on the",
        "{} makes music on the",
        "The instrument that {} learned to play is the",
    ),
    "tongue": (
        "{} grew up speaking",
        "The mother tongue of {} is",
        "{}'s native language is",
        "At home, {} speaks",
        "The first language of {} is",
        "{} is a native speaker of",
        "{} dreams in",
        "The language of {}'s childhood is",
        "The language that {} speaks at home is",
    ),
    "headquarters": (
        "{} is based in",
        "The headquarters of {} are in",
        "The head office of {} is in",
        "{} has its headquarters in",
        "{}'s main office is in",
        "The company {} is seated in",
        "{} is run from",
        "The managers of {} meet in",
        "The main office of {} is in",
    ),
    "product": (
        "{} is known for making",
        "The main product of {} is",
        "{} produces",
        "{}'s main product is",
        "The company {} makes",
        "Factories of {} turn out",
        "The goods that {} sells are",
        "Customers of {} buy",
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
    "city_currency": (
        ("capital_of", "currency"),
        (
            "Markets in the city of {} use the",
            "Taxi drivers in {} are paid in the",
            "A hotel room in {} is paid for in the",
        ),
    ),
}
"""Question -> the two relations it goes through, and three wordings."""
