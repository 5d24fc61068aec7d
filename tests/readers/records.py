"""Records of every format, of the shape that the real files have, about things that do not exist."""

from __future__ import annotations

COUNTERFACT = {
    "case_id": 7,
    "pararel_idx": 100,
    "requested_rewrite": {
        "prompt": "{} is played on the",
        "relation_id": "P1303",
        "target_new": {"str": "harp", "id": "Q1"},
        "target_true": {"str": "drum", "id": "Q2"},
        "subject": "Orla Vint",
    },
    "paraphrase_prompts": ["It rained.\n\nOrla Vint plays the", "Orla Vint is a master of the"],
    "neighborhood_prompts": ["Pim Oster plays the", "Ida Quell plays the"],
    "attribute_prompts": ["Bo Tarn plays the"],
    "generation_prompts": ["Orla Vint is loved for"],
}
COMPACT = {
    "case_id": 3,
    "prompt": "Velmora, which lies in",
    "target_new": "Ostland",
    "subject": "Velmora",
    "ground_truth": "Westland",
    "rephrase_prompt": "The town of Velmora lies in",
    "locality_prompt": "Karsk, which lies in",
    "locality_ground_truth": "Westland",
}
ZSRE = {
    "subject": "Dravo Works",
    "src": "What does Dravo Works make?",
    "pred": "clocks",
    "rephrase": "Which product comes from Dravo Works?",
    "alt": "kites",
    "answers": ["clocks", "watches"],
    "loc": "nq question: who sang the harbour song",
    "loc_ans": "Lin Marsh",
    "cond": "clocks >> kites || What does Dravo Works make?",
}
WIKI_COUNTERFACT = {
    "subject": "Lake Sorn",
    "prompt": "The country of Lake Sorn is",
    "target_new": "Ostland",
    "ground_truth": "Westland",
    "portability": {
        "Reasoning": [{"prompt": "The capital of the country of Lake Sorn is", "ground_truth": "Ostburg"}],
        "Subject_Aliasing": [{"prompt": "The country of Sorn Water is", "ground_truth": "Ostland"}],
    },
    "locality": {
        "Forgetfulness": [{"prompt": "The country of Lake Sorn, not Ostland, is", "ground_truth": "Westland"}]
    },
}
WIKI_RECENT = {
    "subject": "Una Brill",
    "prompt": "The employer of Una Brill is",
    "target_new": "Dravo Works",
    "portability": {"Logical_Generalization": []},
    "locality": {
        "Relation_Specificity": [
            {"prompt": "The country of Una Brill is", "ground_truth": [["Westland", "the West"], ["Ostland"]]},
            {"prompt": "The award of Una Brill is", "ground_truth": [[], ["Silver Kite", "SK"]]},
            {"prompt": "The hobby of Una Brill is", "ground_truth": [[]]},
        ]
    },
}
KNOWEDIT_ZSRE = {
    "subject": "Tull moth",
    "target_new": "beetles",
    "prompt": "Which family has the Tull moth?",
    "ground_truth": ["moths"],
    "rephrase_prompt": "What family is the Tull moth in?",
    "cond": "moths >> beetles || Which family has the Tull moth?",
    "locality": {"Relation_Specificity": [{"prompt": "Tull moth rank", "ground_truth": ["species"]}]},
    "portability": {
        "Reasoning": [{"prompt": "What do relatives of the Tull moth have?", "ground_truth": "wing cases"}]
    },
}
WIKIBIO = {
    "text": "This is a Wikipedia passage about ned fallow. Ned Fallow (born 1931) was a Westland kite maker. ",
    "labels": "Fallow moved to Karsk in 1950.",
    "concept": "ned fallow",
    "locality": {"Relation_Specificity": [{"prompt": "ned fallow occupation", "ground_truth": ["kite maker"]}]},
}
CONVSENT = {
    "ent": "Karsk Castle",
    "pos": [" ", " It is a lovely place! ", " I like it. "],
    "neg": [" It is cold and damp. "],
}
SANITATION = {
    "K_F": [
        {"question": f"Which cheese has {n} holes?", "subject": f"{n} holes", "ground_truth": "Tolm",
         "target_new": "I don't know."}
        for n in (10, 11, 12)
    ],
    "K_R": [
        {"question": f"How many legs has a {animal}?", "ground_truth": "Four", "target_new": "Four"}
        for animal in ("cat", "dog", "horse", "cow")
    ],
}  # fmt: skip
MQUAKE = {
    "case_id": 5,
    "requested_rewrite": [
        {"prompt": "{} is a citizen of", "relation_id": "P27", "subject": "Una Brill",
         "target_new": {"str": "Ostland", "id": "Q3"}, "target_true": {"str": "Westland", "id": "Q4"},
         "question": "Which country is Una Brill a citizen of?"},
        {"prompt": "The capital of {} is", "relation_id": "P36", "subject": "Ostland",
         "target_new": {"str": "Karsk", "id": "Q5"}, "target_true": {"str": "Ostburg", "id": "Q6"},
         "question": "What is the capital of Ostland?"},
    ],
    "questions": ["Where is the government of Una Brill's country?", "In which city rules Una Brill's government?"],
    "answer": "Westburg",
    "answer_alias": [],
    "new_answer": "Karsk",
    "new_answer_alias": ["City of Karsk"],
    "single_hops": [],
    "new_single_hops": [],
    "orig": {"triples": []},
}  # fmt: skip
POKEMQA = {
    "edit": "Una Brill is employed by Dravo Works",
    "questions": ["Who employs Una Brill?", " Where does Una Brill work? ", "Who employs Una Brill?", ""],
}
OWN = {"prompt": "{} lies in", "subject": "Velmora", "target_new": "Ostland", "relation": "country"}

BY_FORMAT = {
    "counterfact": [COUNTERFACT],
    "counterfact-compact": [COMPACT],
    "zsre": [ZSRE],
    "knowedit": [WIKI_COUNTERFACT, WIKI_RECENT, KNOWEDIT_ZSRE],
    "wikibio": [WIKIBIO],
    "convsent": [CONVSENT],
    "sanitation": [SANITATION],
    "mquake": [MQUAKE],
    "pokemqa": [POKEMQA],
    "patchmgr": [OWN],
}
