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
``texts`` → ``second_moment_sums`` → ``moments`` (with ``convergence``) → ``statistics`` · ``ahead``; ``ways`` →
``replay`` and ``value_rows`` → ``target_value`` (with the formulas in ``value_loss``) → ``scales`` → ``block_values`` ·
``climb`` (keys layer after layer) · ``overlay`` · ``sites`` · ``attention`` → ``spread`` (MEMIT and those after it).
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

from patchmgr.methods.artefacts import ArtefactEntry
from patchmgr.methods.contract import EditContext, LoadedModel, Statistics, StatisticsOrder
from patchmgr.methods.hookspecs import hookimpl


class Covariance:
    name: ClassVar[str] = "covariance"
    description: ClassVar[str] = "second moment of the keys, for ROME, MEMIT and the methods after them"

    def compute(self, model: LoadedModel, order: StatisticsOrder, context: EditContext) -> Sequence[ArtefactEntry]:
        from patchmgr_keyvalue.ahead import compute

        return compute(model, order, context)


@hookimpl
def patchmgr_register_statistics(register: Callable[[Statistics], None]) -> None:
    register(Covariance())
