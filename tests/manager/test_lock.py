"""``patches.toml`` and ``patches.lock``: what is chosen, what is written, what is found to be out of date."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from checkpoints import EDITABLE, make_checkpoint, make_package
from patchmgr.canonical import sha256_hex
from patchmgr.errors import (
    BaseMismatchError,
    ConflictError,
    FormatError,
    IntegrityError,
    NotFoundError,
    UsageError,
)
from patchmgr.manager.lock.lockfile import Lock, read_lock, toml_string
from patchmgr.manager.lock.patches import WantedPackage, parse_patches
from patchmgr.manager.lock.requirement import Candidate, Requirement
from patchmgr.manager.lock.resolve import Place, choose
from patchmgr.manager.manager import Manager
from patchmgr.package.manifest import parse_manifest


def version(number: int, parent: int | None = None, *, package: str = "p", below: tuple[str, ...] = ()) -> Candidate:
    digest = sha256_hex(f"{package}{number}".encode())
    return Candidate(package, number, digest, parent, frozenset(below), "b" * 64, "weights")


# Requirements

LINE = {1: None, 2: 1, 3: 2, 4: 1, 5: 4, 6: 3}
"""3 and 6 grew out of 2; 4 and 5 out of 1."""


@pytest.mark.parametrize(
    ("text", "admitted"),
    [
        ("*", {1, 2, 3, 4, 5, 6}),
        ("", {1, 2, 3, 4, 5, 6}),
        ("^2", {2, 3, 6}),
        ("^1", {1, 2, 3, 4, 5, 6}),
        ("^v4", {4, 5}),
        (">=2,<4", {2, 3}),
        (" >= 2 , < 4 ", {2, 3}),
        (">2,<=5,!=4", {3, 5}),
        ("==3", {3}),
        ("v3", {3}),
        ("^2,<6", {2, 3}),
    ],
)
def test_a_range_admits(text, admitted):
    wanted = Requirement.parse("p", text)
    assert {n for n, parent in LINE.items() if wanted.admits(version(n, parent), LINE)} == admitted


def test_a_line_with_a_version_that_is_not_known_leads_nowhere():
    assert not Requirement.parse("p", "^1").admits(version(4, 3), {4: 3})
    assert Requirement.parse("p", "^3").admits(version(4, 3), {4: 3}), "its own parent is known"


@pytest.mark.parametrize("text", ["3", ">=", "^", ">=2,", "sha256:12", ">=2;<4", "not a tag", "@1"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(UsageError, match="says no versions of p"):
        Requirement.parse("p", text)


@pytest.mark.parametrize(("text", "part"), [("stable", "tag"), ("sha256:abcdef0", "digest")])
def test_a_tag_and_a_digest_point(text, part):
    assert getattr(Requirement.parse("p", text).pointer, part) in (text, "abcdef0")


# Choosing


def places(*candidates: list[Candidate]) -> list[Place]:
    return [Place(WantedPackage(Requirement.parse(each[0].package, "*")), tuple(each)) for each in candidates]


def test_a_newer_version_is_passed_over_when_what_it_stands_on_is_not_chosen():
    a1, a2 = version(1, package="a"), version(2, 1, package="a")
    on_a1, on_a9 = version(1, package="b", below=(a1.digest,)), version(2, 1, package="b", below=("9" * 64,))
    assert choose(places([a2, a1], [on_a9, on_a1])) == (a1, on_a1)
    assert choose(places([on_a1], [a2, a1])) == (on_a1, a1), "what it stands on may come later in the list"


def test_a_package_may_be_there_twice_where_the_later_version_stands_on_the_earlier():
    a1 = version(1, package="a")
    a2 = version(2, 1, package="a", below=(a1.digest,))
    assert choose(places([a2, a1], [a2, a1])) == (a1, a2)


def test_no_choice_says_what_is_missing():
    with pytest.raises(ConflictError, match=r"b@v2 was computed on 1 package\(s\) .*\(999999999999\)"):
        choose(places([version(1, package="a")], [version(2, package="b", below=("9" * 64,))]))
    with pytest.raises(ConflictError, match="go together"):
        choose(places([version(1, package="a")], [version(2, package="a")]))


@settings(max_examples=40)
@given(st.data())
def test_the_choice_is_the_first_that_trying_all_finds(data):
    """Against a search of everything: places in their order, versions in their order of preference."""
    names = "abc"[: data.draw(st.integers(1, 3))]
    everything = [version(n, package=name) for name in names for n in (1, 2)]
    found = [
        replace(each, below=frozenset(data.draw(st.sets(st.sampled_from([e.digest for e in everything]), max_size=2))))
        for each in everything
    ]
    lists = [[each for each in found if each.package == name][::-1] for name in names]

    def all_choices(rest):
        return [[first, *more] for first in rest[0] for more in all_choices(rest[1:])] if rest else [[]]

    good = [c for c in all_choices(lists) if all(each.below <= {e.digest for e in c} for each in c)]
    if good:
        assert choose(places(*lists)) == tuple(good[0])
    else:
        with pytest.raises(ConflictError):
            choose(places(*lists))


# The files


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example('\x7f\x00"\\\n\r\x85\u2028')
def test_every_string_comes_back_from_toml(text):
    line = f"x = {toml_string(text)}"
    assert "\n" not in line
    assert tomllib.loads(line) == {"x": text}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models = 3", "models: "),
        ("[models.prod]\npackage = []", r"models.prod.package: there is no such field"),
        ("[models.prod]\npackages = [3]", "models.prod.packages.0"),
        ("[models.Prod]", r"models.Prod"),
        ('[models.prod]\npackages = ["P@1"]', "'P' cannot be a name"),
        ('[models.prod]\npackages = ["p@3"]', "'3' says no versions of p"),
        ('[models.prod]\nbase = {source = "x", revision = "main"}', "revision"),
        ("[models.prod", "cannot be read"),
    ],
)
def test_a_broken_patches_toml_names_the_place(text, said, tmp_path):
    with pytest.raises(UsageError, match=said) as caught:
        parse_patches(text, tmp_path)
    assert str(tmp_path / "patches.toml") in caught.value.message


@pytest.mark.parametrize(
    "text", ["version = 2", "", "version = 1\n[[model]]\nname = 3", "version = 1\nmodel = [", "\xff"]
)
def test_a_broken_patches_lock_is_a_format_error(text, tmp_path):
    (tmp_path / "patches.lock").write_bytes(text.encode("latin-1"))
    with pytest.raises(FormatError, match=r"patches\.lock"):
        read_lock(tmp_path)


# Locking against a registry


@pytest.fixture(scope="module")
def stock(tmp_path_factory) -> Path:
    """``prod``, and ``foreign`` on another base; packages a (v1 ← v2 ← v3, and v4 from v1), b, and c of that base."""
    root = tmp_path_factory.mktemp("lock")
    base, foreign = make_checkpoint(root / "base"), make_checkpoint(root / "foreign", seed=9)
    for n in range(1, 5):
        make_package(root / f"a{n}", base, name="a", seed=n)
    make_package(root / "b", base, name="b", seed=7, tensors=EDITABLE[:1])
    make_package(root / "c", foreign, name="c")
    with Manager.open(root / "home") as manager:
        manager.add_model("prod", str(base))
        manager.add_model("foreign", str(foreign))
        manager.apply("prod", [str(root / "b")])
        manager.apply("foreign", [str(root / "c")])
        for number, parent in {1: None, 2: 1, 3: 2, 4: 1}.items():
            add_version(manager, root / f"a{number}", number, parent)
    return root


def add_version(manager, folder, number, parent):
    """Register a package of version 1 as another version of itself."""
    from patchmgr.manager.packages import adopt

    manifest = parse_manifest((folder / "patch.json").read_bytes())
    renumbered = manifest.model_copy(update={"version": number, "parent_version": parent})
    (folder / "patch.json").write_bytes(renumbered.to_bytes())
    return adopt(manager, folder)


@pytest.fixture
def project(stock, tmp_path) -> Path:
    return tmp_path


@pytest.fixture
def opened(stock, tmp_path_factory):
    """The home, copied, so that a test may change it."""
    home = tmp_path_factory.mktemp("copied") / "home"
    subprocess.run(["cp", "-a", str(stock / "home"), str(home)], check=True)
    with Manager.open(home) as manager:
        yield manager


def write(project: Path, *packages: str, more: str = "") -> None:
    listed = ", ".join(p if p.startswith("{") else f'"{p}"' for p in packages)
    (project / "patches.toml").write_text(f"[models.prod]\n{more}packages = [{listed}]\n")


def versions(lock: Lock) -> list[str]:
    return [package.reference for package in lock.model("prod").packages]


def test_the_lock_holds_base_packages_order_state_and_every_tensor(opened, project):
    write(project, "b", "a@^2")
    done = opened.lock(project)
    assert done.changes == ("prod: new", "prod: +b@v1", "prod: +a@v3")
    model = read_lock(project).model("prod")
    record = opened.registry.model("prod")
    assert model.base.key == record.base.key
    assert [p.digest for p in model.packages] == [opened.registry.version(r).digest for r in ("b@v1", "a@v3")]
    assert set(model.tensors) == set(EDITABLE)
    assert opened.registry.generation("prod").number == 1, "locking changes no model"
    outcome = opened.apply("prod", ["a@v3"])
    assert (model.state_root, model.tensors) == (outcome.state_root, opened.registry.generation("prod").tensors)


def test_what_is_locked_stays_while_it_is_allowed(opened, project):
    write(project, "a@<3")
    assert versions(opened.lock(project).lock) == ["a@v2"]
    write(project, "a@*")
    assert versions(opened.lock(project).lock) == ["a@v2"], "still allowed"
    assert versions(opened.lock(project, upgrade=True).lock) == ["a@v4"]
    write(project, "a@^2")
    done = opened.lock(project)
    assert (versions(done.lock), done.changes) == (["a@v3"], ("prod: -a@v4", "prod: +a@v3")), "not allowed any more"


def test_a_tag_stays_where_it_was_locked_until_upgraded(opened, project):
    with opened.registry.begin() as tx:
        tx.tag("a@v1", "stable")
        tx.commit()
    write(project, "a@stable")
    opened.lock(project)
    with opened.registry.begin() as tx:
        tx.tag("a@v2", "stable", move=True)
        tx.commit()
    assert versions(opened.lock(project).lock) == ["a@v1"]
    assert opened.lock(project, write=False).changes == ()
    assert versions(opened.lock(project, upgrade=True).lock) == ["a@v2"]


def test_a_digest_and_latest_point_to_one_version(opened, project):
    digest = opened.registry.version("a@v2").digest
    write(project, f"a@sha256:{digest[:9]}", "b@latest")
    assert versions(opened.lock(project).lock) == ["a@v2", "b@v1"]


def test_check_writes_nothing_and_says_what_differs(opened, project):
    write(project, "a@==1")
    opened.lock(project)
    before = (project / "patches.lock").read_bytes()
    assert opened.lock(project, write=False).changes == ()
    write(project, "b", "a@==2")
    assert opened.lock(project, write=False).changes == ("prod: -a@v1", "prod: +b@v1", "prod: +a@v2")
    assert (project / "patches.lock").read_bytes() == before


def test_a_lock_that_was_tampered_with_is_out_of_date(opened, project):
    write(project, "a@==1")
    lock = opened.lock(project).lock
    digest = lock.model("prod").tensors[EDITABLE[0]]
    path = project / "patches.lock"
    path.write_text(path.read_text().replace(digest, "0" * 64))
    (line,) = opened.lock(project, write=False).changes
    assert line == f"prod: {EDITABLE[0]!r} {'0' * 12} → {digest[:12]}"


def test_locking_again_gives_the_same_bytes(opened, project):
    write(project, "b", "a")
    opened.lock(project)
    first = (project / "patches.lock").read_bytes()
    assert not opened.lock(project).written
    (project / "patches.lock").unlink()
    opened.lock(project)
    assert (project / "patches.lock").read_bytes() == first
    assert Lock.model_validate(tomllib.loads(first.decode())).to_text().encode() == first


def test_a_change_of_one_package_changes_its_lines_only(opened, project):
    write(project, "a@==1", "b")
    opened.lock(project)
    before = (project / "patches.lock").read_text().splitlines()
    write(project, "a@==2", "b")
    opened.lock(project)
    after = (project / "patches.lock").read_text().splitlines()
    changed = [old.partition(" ")[0] for old, new in zip(before, after, strict=True) if old != new]
    assert changed == ["state_root", "wanted", "version", "digest", *(f'"{name}"' for name in EDITABLE)]


def test_one_model_of_several(opened, project):
    (project / "patches.toml").write_text('[models.prod]\npackages = ["a@==1"]\n[models.foreign]\npackages = ["c"]\n')
    opened.lock(project)
    (project / "patches.toml").write_text('[models.prod]\npackages = ["a@==2"]\n[models.foreign]\npackages = []\n')
    assert opened.lock(project, model="foreign").changes == ("foreign: -c@v1",)
    assert versions(read_lock(project)) == ["a@v1"]
    with pytest.raises(NotFoundError, match="no model 'pord'"):
        opened.lock(project, model="pord")
    write(project, "a@==2")
    assert opened.lock(project).changes == ("foreign: gone", "prod: -a@v1", "prod: +a@v2")


def test_a_package_of_another_base_is_refused_and_one_that_fits_is_found_behind_it(opened, project, stock):
    write(project, "c")
    with pytest.raises(BaseMismatchError, match="c@v1 was made for the base"):
        opened.lock(project)
    assert not (project / "patches.lock").exists()


def test_what_does_not_exist_is_named(opened, project):
    for package, said in [("d", "no package 'd'"), ("a@>=9", "no version of a is >=9"), ("a@beta", "tagged 'beta'")]:
        write(project, package)
        with pytest.raises(NotFoundError, match=said):
            opened.lock(project)
    (project / "patches.toml").unlink()
    with pytest.raises(NotFoundError, match=r"no patches\.toml"):
        opened.lock(project)


def test_the_base_by_a_model_or_by_where_it_comes_from(opened, project):
    write(project, "a", more='base = "foreign"\n')
    with pytest.raises(BaseMismatchError):
        opened.lock(project)
    write(project, "a", more='base = { source = "base" }\n')
    assert opened.lock(project).lock.model("prod").base.source == "base"
    write(project, "a", more='base = { source = "base", revision = "1234567" }\n')
    with pytest.raises(NotFoundError, match="not registered here") as caught:
        opened.lock(project)
    assert caught.value.hint == "patchmgr model add prod base --revision 1234567"
    write(project, "a", more="")
    assert opened.lock(project, write=False).changes == ("prod: the base, named otherwise",)


def test_from_writes_what_a_model_is_and_keeps_what_the_file_says(opened, project):
    (project / "patches.toml").write_text('# ours\n[models.other]\nbase = "prod"\npackages = []\n')
    opened.apply("prod", ["a@v2"])
    done = opened.lock_from(project, "prod")
    text = (project / "patches.toml").read_text()
    assert text == (
        '# ours\n[models.other]\nbase = "prod"\npackages = []\n\n'
        '[models.prod]\npackages = [\n  "b@==1",\n  "a@==2",\n]\n'
    )
    assert done.written
    assert read_lock(project).model("prod").state_root == opened.status("prod")[0].state_root
    assert opened.lock(project, model="prod", write=False).changes == ()
    with pytest.raises(ConflictError, match="says already what prod shall be"):
        opened.lock_from(project, "prod")
    assert (project / "patches.toml").read_text() == text


def test_a_folder_beside_the_file(opened, project, stock):
    shutil.copytree(stock / "b", project / "packages" / "mine")
    write(project, '{ name = "b", path = "packages/mine" }')
    with Manager.open(project / "empty") as fresh:
        fresh.add_model("prod", str(stock / "base"))
        assert fresh.lock(project).lock.model("prod").packages[0].path == "packages/mine"
        assert fresh.registry.packages() == (), "locking registers nothing"
    write(project, '{ name = "a", path = "packages/mine" }')
    with pytest.raises(NotFoundError, match=r"holds b@v1, not a version of a"):
        opened.lock(project)


def test_what_is_locked_and_not_here_is_an_error_until_upgraded(opened, project, stock):
    write(project, "a")
    opened.lock(project)
    with Manager.open(project / "empty") as fresh:
        fresh.add_model("prod", str(stock / "base"))
        for folder in ("a1", "a2"):
            fresh.apply("prod", [str(stock / folder)])
        with pytest.raises(NotFoundError, match="prod is locked to a@v4"):
            fresh.lock(project)
        assert versions(fresh.lock(project, upgrade=True, write=False).lock) == ["a@v2"]
        path = project / "patches.lock"
        text = path.read_text()
        path.write_text(text.replace("version = 4", "version = 2"))
        with pytest.raises(IntegrityError, match="locked to a@v2 with digest"):
            fresh.lock(project)
