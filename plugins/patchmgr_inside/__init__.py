"""What memories inside a model share: where in it they lie, what goes in there, and a twin that answers.

Glossary: the *layer* of a memory is the MLP of one block: its *entry* is the first linear map, whose input is the MLP's
input, and its *down-projection* the last, whose output is the MLP's output. A *row* is a text in tokens.
"""
