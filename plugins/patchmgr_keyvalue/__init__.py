"""The key/value engine under ROME and its family: an MLP's down-projection as a memory of keys and values.

Glossary, used in every module and docstring of this package:

``k``      key: the input of a down-projection at the subject's last token, (d_in,)
``v``      value: its output there, bias included, (d_out,)
``δ``      what is added to a value while it is optimised; v* = v₀ + δ, (d_out,)
``C``      uncentred second moment of the keys, E[k kᵀ], (d_in, d_in)
*row*      one text as tokens; a *batch* is rows padded on the right to one width
*place*    a row and a column of a batch, where logits are read
*template* a text with ``{}`` in it for the prompt; the first template of a list is the plain ``{}``

The rooms: ``rows`` (texts to tokens) → ``forwards`` (hooks, stopping early) → ``keys`` · ``sampling`` → ``contexts``,
``statistics`` · ``replay`` → ``target_value`` (with the formulas in ``value_loss``) · ``overlay`` · ``sites``.
"""
