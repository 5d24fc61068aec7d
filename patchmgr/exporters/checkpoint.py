"""``checkpoint``: the whole state as an ordinary checkpoint folder that shares no file with any other."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from patchmgr.exporters.contract import ExportOptions, ExportSource, Prepared, Progress, Written
from patchmgr.exporters.refusals import refuse_memories, refuse_options
from patchmgr.ops.generation import Recipe, write_generation
from patchmgr.ops.stack import state_root


class CheckpointExporter:
    """Every tensor of the state, with the config and the tokenizer of the base."""

    name: ClassVar[str] = "checkpoint"
    description: ClassVar[str] = "the whole state as a checkpoint folder"

    def prepare(self, source: ExportSource, options: ExportOptions) -> Prepared:
        """Look at the stack; memories are left out only when that is asked for.

        Raises:
            ConflictError: the stack has memories, which a plain checkpoint would drop.
        """
        refuse_options(options, self.name, known=("--weights-only",))
        if not options.weights_only:
            refuse_memories(
                source,
                "a plain checkpoint",
                hint="--weights-only leaves it out; `patchmgr apply MODEL REF -o DIR` takes it along for patchmgr.load",
            )
        recipe = Recipe(source.base, source.sums, source.before, source.results, links=False)

        def write(folder: Path, progress: Progress) -> Written:
            results = write_generation(recipe, folder, lambda done, total: progress(done, total, "writing (bytes)"))
            return Written(state_root(source.known.with_tensors(dict(results))))

        left_out = [package.manifest.reference for package in source.memories]
        return Prepared(
            files=tuple(sorted((*source.base.headers, *source.base.companions))),
            facts={"tensors": sorted(source.sums), "size_bytes": recipe.written_bytes, "left_out": left_out},
            remarks=(f"left out: {', '.join(left_out)}, which answers beside the weights",) if left_out else (),
            write=write,
        )
