"""What every trainer promises: killed and called again it gives what the whole run gives, and it repeats nothing.

A test module subclasses :class:`ResumedTraining` and brings the fixtures ``trained`` (trains in a folder) and ``short``
(parameters of eight steps, validated and kept every second); those of the whole run lie in ``plugins/conftest.py``.
"""

from __future__ import annotations

import pytest

from patchmgr.errors import FormatError


class KilledError(BaseException):
    """What a signal does."""


def bytes_of(draft):
    return {name: path.read_bytes() for name, path in draft.files.items()}


class ResumedTraining:
    """The tests; ``killed_at`` is the call of ``progress`` in the fifth step."""

    killed_at: int

    @pytest.mark.parametrize("when", ["step", "validation"])
    def test_resume_after_a_kill_gives_bit_for_bit_the_result_of_the_uninterrupted_run(
        self, trained, short, uninterrupted, tmp_path, when
    ):
        left = {"step": self.killed_at, "validation": 3}[when]

        def kill(*_):
            nonlocal left
            left -= 1
            if left == 0:
                raise KilledError

        with pytest.raises(KilledError):
            trained(tmp_path, **short, **{"progress" if when == "step" else "report": kill})
        assert list(tmp_path.glob("checkpoint-*"))
        steps = []
        again = trained(tmp_path, **short, progress=lambda done, *_: steps.append(done))
        assert steps == [4, 5, 6, 7]
        assert bytes_of(again) == bytes_of(uninterrupted)
        assert (again.steps, again.figures, again.parameters) == (
            uninterrupted.steps,
            uninterrupted.figures,
            uninterrupted.parameters,
        )

    def test_a_training_that_ended_is_not_repeated(self, trained, short, whole, uninterrupted):
        steps = []
        again = trained(whole, **short, progress=lambda done, *_: steps.append(done))
        assert steps == []
        assert bytes_of(again) == bytes_of(uninterrupted)

    def test_a_checkpoint_that_cannot_be_read_is_named(self, trained, short, tmp_path):
        (tmp_path / "checkpoint-2").mkdir()
        (tmp_path / "checkpoint-2" / "tensors.safetensors").write_bytes(b"none")
        with pytest.raises(FormatError, match="checkpoint-2"):
            trained(tmp_path, **short)
