"""Syncing: the locked state in another home, and an error that names what differs, with nothing changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from checkpoints import EDITABLE, make_checkpoint, make_package
from patchmgr.errors import BaseMismatchError, ConflictError, HookError, IntegrityError, NotFoundError, PatchmgrError
from patchmgr.manager.lock.lockfile import read_lock, write_lock
from patchmgr.manager.manager import Manager
from patchmgr.manager.states import read_state
from patchmgr.ops.stack import root_of
from versions import make_memory, request

BOTH = '[models.prod]\npackages = [{ name = "a", path = "packages/a" }, { name = "b", path = "packages/b" }]\n'


@pytest.fixture(scope="module")
def locked(tmp_path_factory) -> Path:
    """``repository`` with both files and two packages as folders, locked in the home ``here``; and the base."""
    root = tmp_path_factory.mktemp("sync")
    base = make_checkpoint(root / "base")
    make_checkpoint(root / "other", seed=5)
    make_package(root / "repository" / "packages" / "a", base, name="a", seed=1)
    make_package(root / "repository" / "packages" / "b", base, name="b", seed=2, tensors=EDITABLE[:1])
    (root / "repository" / "patches.toml").write_text(BOTH)
    with Manager.open(root / "here") as manager:
        manager.add_model("prod", str(base))
        manager.lock(root / "repository")
        manager.sync(root / "repository")
    return root


@pytest.fixture
def repository(locked, tmp_path) -> Path:
    return Path(shutil.copytree(locked / "repository", tmp_path / "repository"))


@pytest.fixture
def there(locked, tmp_path):
    """Another home, which has the base and nothing else."""
    with Manager.open(tmp_path / "there") as manager:
        manager.add_model("prod", str(locked / "base"))
        yield manager


def assert_untouched(manager: Manager) -> None:
    assert manager.registry.model("prod").generation == 0
    assert manager.status("prod")[0].stack == ()
    assert [e.action for e in manager.events() if e.action != "import"] == ["model-add"]
    folder = manager.settings.generations("prod")
    assert not folder.exists() or list(folder.iterdir()) == []


def test_another_home_gets_the_same_state(locked, there, repository):
    (outcome,) = there.sync(repository, message="release")
    with Manager.open(locked / "here") as here:
        ours, theirs = here.registry.generation("prod"), there.registry.generation("prod")
    assert (outcome.state_root, theirs.packages, theirs.tensors) == (ours.state_root, ours.packages, ours.tensors)
    assert (theirs.number, theirs.action, theirs.message) == (1, "sync", "release")
    assert [event.action for event in there.events("prod")] == ["model-add", "sync"]
    assert there.verify_audit()


def test_what_is_there_already_is_left_alone(there, repository):
    there.sync(repository)
    (again,) = there.sync(repository)
    assert (again.changed, again.generation, len(there.events("prod"))) == (False, 1, 2)


def test_what_is_too_much_goes_and_the_order_is_put_right_in_one_generation(locked, there, repository, tmp_path):
    make_package(tmp_path / "c", locked / "base", name="c", seed=3)
    there.apply("prod", [str(repository / "packages" / "b"), str(tmp_path / "c")])
    plan = there.plan_sync(repository)["prod"]
    assert [manifest.reference for manifest in plan.added] == ["a@v1"]
    assert [manifest.reference for manifest in plan.removed] == ["c@v1"]
    (outcome,) = there.sync(repository)
    assert (outcome.generation, outcome.stack) == (2, ("a@v1", "b@v1"))


def test_a_dry_run_changes_nothing(there, repository):
    plan = there.plan_sync(repository)["prod"]
    assert [manifest.reference for manifest in plan.stack] == ["a@v1", "b@v1"]
    assert_untouched(there)
    assert there.registry.packages() == ()


def test_a_folder_is_not_needed_for_what_the_registry_has(there, repository):
    there.sync(repository)
    shutil.rmtree(repository / "packages")
    there.rollback("prod", 0)
    assert [manifest.reference for manifest in there.plan_sync(repository)["prod"].added] == ["a@v1", "b@v1"]
    assert there.sync(repository)[0].changed


def test_a_missing_package_is_named(there, repository):
    shutil.rmtree(repository / "packages" / "b")
    with pytest.raises(NotFoundError, match="packages/b"):
        there.sync(repository)
    assert_untouched(there)


def test_a_missing_package_without_a_folder_is_named(there, repository):
    for name in ("patches.toml", "patches.lock"):
        text = (repository / name).read_text()
        (repository / name).write_text(text.replace(', path = "packages/b"', "").replace('path = "packages/b"\n', ""))
    with pytest.raises(NotFoundError, match=r"prod is locked to b@v1 \(sha256:[0-9a-f]{12}\), which is not here"):
        there.sync(repository)
    assert_untouched(there)


def test_another_package_under_the_name_is_an_integrity_error(locked, there, repository):
    shutil.rmtree(repository / "packages" / "b")
    make_package(repository / "packages" / "b", locked / "base", name="b", seed=4)
    with pytest.raises(IntegrityError, match=r"has b@v1 of prod as sha256:\w+, and packages/b has b@v1, sha256:"):
        there.sync(repository)
    assert_untouched(there)
    there.apply("prod", [str(repository / "packages" / "b")])
    there.revert("prod", ["b"])
    shutil.rmtree(repository / "packages" / "b")
    for name in ("patches.toml", "patches.lock"):
        text = (repository / name).read_text()
        (repository / name).write_text(text.replace(', path = "packages/b"', "").replace('path = "packages/b"\n', ""))
    with pytest.raises(IntegrityError, match=r"locked to b@v1 with digest \w+…, the registry has \w+… under that name"):
        there.sync(repository)


def test_another_base_is_a_base_mismatch(locked, repository, tmp_path):
    with Manager.open(tmp_path / "elsewhere") as manager:
        manager.add_model("prod", str(locked / "other"))
        with pytest.raises(BaseMismatchError, match="has prod on the base") as caught:
            manager.sync(repository)
        assert caught.value.exit_code == 5
        assert_untouched(manager)


def test_another_tokenizer_is_a_base_mismatch(locked, repository, tmp_path):
    base = shutil.copytree(locked / "base", tmp_path / "base")
    (base / "tokenizer.json").write_text('{"version":"1.1"}')
    with Manager.open(tmp_path / "elsewhere") as manager:
        manager.add_model("prod", str(base))
        with pytest.raises(BaseMismatchError, match="on the tokenizer"):
            manager.sync(repository)


def relock(manager: Manager, repository: Path, tensor: str, *, root: bool) -> None:
    """Change a tensor's digest in the lock, and with ``root`` the state root to that which follows from it."""
    lock = read_lock(repository)
    assert lock is not None
    model = lock.model("prod")
    tensors = {**model.tensors, tensor: "0" * 64}
    whole = root_of(read_state(manager, "prod").fingerprint.with_tensors(tensors), ())
    changed = model.model_copy(update={"tensors": tensors, "state_root": whole if root else model.state_root})
    write_lock(repository, lock.model_copy(update={"models": (changed,)}))


def test_a_lock_that_contradicts_itself_is_an_integrity_error(there, repository):
    relock(there, repository, EDITABLE[0], root=False)
    with pytest.raises(IntegrityError, match="contradicts itself"):
        there.sync(repository)
    assert_untouched(there)


@pytest.mark.parametrize("known", [False, True], ids=["found when written", "known beforehand"])
def test_another_resulting_tensor_is_an_integrity_error(there, repository, known):
    """Of a whole lock whose tensor nothing gives: with the root that goes with it."""
    if known:
        there.sync(repository)
        there.revert("prod", ["a", "b"])
    before = there.registry.model("prod").generation
    relock(there, repository, EDITABLE[0], root=True)
    with pytest.raises(IntegrityError, match=rf"{EDITABLE[0]}' is locked to 000000000000… and would be"):
        there.sync(repository)
    assert there.registry.model("prod").generation == before
    if not known:
        assert_untouched(there)


def test_a_lock_that_is_out_of_date_is_refused_unless_frozen(there, repository):
    (repository / "patches.toml").write_text(BOTH.replace(', { name = "b", path = "packages/b" }', ""))
    with pytest.raises(PatchmgrError, match=r"out of date: prod: b@\* is not wanted any more") as caught:
        there.sync(repository)
    assert caught.value.exit_code == 1
    assert_untouched(there)
    (repository / "patches.toml").unlink()
    with pytest.raises(NotFoundError, match=r"no patches\.toml"):
        there.sync(repository)
    assert there.sync(repository, frozen=True)[0].stack == ("a@v1", "b@v1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOTH.replace("[models.prod]\n", '[models.prod]\nbase = "prod"\n'), "the base is named otherwise"),
        (BOTH.replace('name = "a", ', 'name = "a", version = "^1", '), r"a@\^1 is new, and 1 more"),
        (BOTH + "[models.more]\n", r"more: only in patches\.toml"),
        (BOTH.replace("prod", "dorp"), r"dorp: only in patches\.toml, and 1 more"),
    ],
)
def test_what_is_out_of_date_is_said(there, repository, text, said):
    (repository / "patches.toml").write_text(text)
    with pytest.raises(PatchmgrError, match=said):
        there.sync(repository)


def test_another_order_is_out_of_date(there, repository):
    a, b = '{ name = "a", path = "packages/a" }', '{ name = "b", path = "packages/b" }'
    (repository / "patches.toml").write_text(f"[models.prod]\npackages = [{b}, {a}]\n")
    with pytest.raises(PatchmgrError, match="the order of the packages is another"):
        there.sync(repository)


def test_no_lock_and_no_model(there, repository, tmp_path):
    with pytest.raises(NotFoundError, match=r"no patches\.lock"):
        there.sync(tmp_path)
    with pytest.raises(NotFoundError, match="no model 'pord'"):
        there.sync(repository, model="pord")
    there.remove_model("prod")
    with pytest.raises(NotFoundError, match="no model 'prod'"):
        there.sync(repository)


def test_no_model_changes_when_one_of_them_cannot(locked, there, repository):
    there.add_model("zeta", str(locked / "other"))
    text = (repository / "patches.lock").read_text()
    section = text[text.index("\n[[model]]") :]
    (repository / "patches.lock").write_text(text + section.replace('"prod"', '"zeta"'))
    with pytest.raises(BaseMismatchError, match="zeta"):
        there.sync(repository, frozen=True)
    assert there.registry.model("prod").generation == 0


def test_a_hook_may_take_it_back(there, repository, monkeypatch):
    monkeypatch.setenv("PATCHMGR_AFTER_CHANGE", "false")
    with (
        Manager.open(there.settings.home) as hooked,
        pytest.raises(HookError, match="back at the state of generation 0"),
    ):
        hooked.sync(repository)
    actions = [generation.action for generation in there.registry.generations("prod")]
    assert (actions, there.status("prod")[0].stack) == (["add", "sync", "rollback"], ())


def test_two_versions_of_one_package_do_not_go_together(there, repository):
    path = repository / "patches.lock"
    text = path.read_text()
    section = text[text.index("[[model.package]]") : text.index("[model.tensors]")]
    a, b = (f"[[model.package]]{part}" for part in section.split("[[model.package]]")[1:])
    path.write_text(text.replace(section, b + a + a))
    with pytest.raises(ConflictError, match="two versions of one package"):
        there.sync(repository, frozen=True)


def test_memories_are_locked_with_their_order_and_on_any_base(locked, there, tmp_path):
    make_memory(tmp_path / "m1", locked / "other", [request("France", "Rome")], name="m1")
    make_memory(tmp_path / "m2", locked / "other", [request("Spain", "Oslo")], name="m2")
    package = f'{{ name = "a", path = "{locked / "repository" / "packages" / "a"}" }}'
    roots = []
    for first, second in (("m1", "m2"), ("m2", "m1")):
        stack = [f'{{ name = "{first}", path = "{first}" }}', package, f'{{ name = "{second}", path = "{second}" }}']
        (tmp_path / "patches.toml").write_text(f"[models.prod]\npackages = [{', '.join(stack)}]\n")
        there.lock(tmp_path)
        (outcome,) = there.sync(tmp_path)
        assert outcome.stack == (f"{first}@v1", "a@v1", f"{second}@v1")
        assert outcome.state_root == there.lock(tmp_path).lock.model("prod").state_root
        roots.append(outcome.state_root)
    assert roots[0] != roots[1], "where two memories claim a prompt the later one answers"
