"""Kinds of policies: those of a user's own are registered by name, and told apart from what is no such kind."""

from __future__ import annotations

import pytest
import torch

from baselines import policies


def _content_of(path):
    return torch.load(path, weights_only=True)


class Still(policies.StoredPolicy):
    """A kind of a user's own: it does nothing, at a speed that its file holds."""

    kind = "still"
    parts = ("joints", "state")

    def __init__(self, task, joints):
        super().__init__(task, {}, {"proprio": (3, 24)})
        self.joints = joints

    def content(self):
        return {"joints": self.joints, "state": {}}

    @classmethod
    def from_content(cls, content, task):
        assert task.name == content["task"]
        return cls(content["task"], content["joints"])

    def act(self, observation):
        return torch.zeros(len(observation["proprio"]), self.joints)


def test_a_registered_kind_is_saved_and_loaded_as_itself(tmp_path, monkeypatch):
    path = tmp_path / "still.pt"
    policies.save(Still("nut", 12), path)
    with pytest.raises(ValueError, match=r"a policy of the kind 'still', and here 'actor' is known; train it again"):
        policies.load(path)
    monkeypatch.setitem(policies.KINDS, "still", f"{__name__}:Still")
    found = policies.load(path)
    assert type(found) is Still and found.joints == 12 and found.interface["hand"] == "xhand_left"
    assert found.act({"proprio": torch.ones(2, 3, 24)}).shape == (2, 12)
    with pytest.raises(ValueError, match=r"still.pt is a policy of the kind 'still', and here one of the kind 'actor'"):
        policies.load_actor(path)


def test_policies_without_weights_are_told_apart_too(monkeypatch):
    monkeypatch.setattr(Still, "content", lambda self: {"joints": self.joints})
    assert policies.fingerprint(Still("nut", 12)) == policies.fingerprint(Still("nut", 12))
    assert policies.fingerprint(Still("nut", 12)) != policies.fingerprint(Still("nut", 11))


def test_large_tensors_tell_policies_without_weights_apart(monkeypatch):
    """Torch's words leave out the middle of a tensor of more than a thousand numbers."""
    monkeypatch.setattr(Still, "content", lambda self: {"steps": [{"targets": self.joints}], "name": "a"})
    targets, other = torch.zeros(5000), torch.zeros(5000)
    other[2500] = 1.0
    found = [policies.fingerprint(Still("nut", joints)) for joints in (targets, targets.clone(), other)]
    assert found[0] == found[1] != found[2]
    alike = [torch.zeros(4), torch.zeros(2, 2), torch.zeros(4, dtype=torch.int32), torch.zeros(4, dtype=torch.bfloat16)]
    assert len({policies.fingerprint(Still("nut", joints)) for joints in (*alike, torch.tensor(0.0))}) == 5


def test_fingerprints_from_before_stand(monkeypatch):
    assert policies.fingerprint(policies.load("nut-student")) == "5d079763615482f3"
    monkeypatch.setattr(Still, "content", lambda self: {"joints": self.joints, "path": [1.5, ("a", {"b": 2})]})
    assert policies.fingerprint(Still("nut", 12)) == "f0de9bdaa58db33e"


@pytest.mark.parametrize(
    ("where", "words"),
    [("no_such_module:Still", "No module named 'no_such_module'"), (f"{__name__}:Stil", "has no attribute 'Stil'")],
)
def test_a_kind_that_cannot_be_imported_is_named_with_its_place(tmp_path, monkeypatch, where, words):
    policies.save(Still("nut", 12), tmp_path / "still.pt")
    monkeypatch.setitem(policies.KINDS, "still", where)
    with pytest.raises(ValueError, match=rf"its kind 'still' is {where}, which cannot be imported: .*{words}"):
        policies.load(tmp_path / "still.pt")


def test_whatever_a_kind_raises_is_told_of_the_file(tmp_path, monkeypatch):
    class Broken(Still):
        @classmethod
        def from_content(cls, content, task):
            raise OSError("boom")

    policies.save(Still("nut", 12), tmp_path / "still.pt")
    monkeypatch.setattr(policies, "_kind", lambda content: Broken)
    with pytest.raises(ValueError, match=r"still.pt does not hold a policy that this version can build: boom"):
        policies.load(tmp_path / "still.pt")


def test_the_parts_of_a_kind_must_be_there(tmp_path, monkeypatch):
    monkeypatch.setitem(policies.KINDS, "still", f"{__name__}:Still")
    policies.save(Still("nut", 12), tmp_path / "still.pt")
    content = _content_of(tmp_path / "still.pt")
    del content["joints"]
    torch.save(content, tmp_path / "less.pt")
    with pytest.raises(ValueError, match="it lacks 'joints'") as refused:
        policies.load(tmp_path / "less.pt")
    assert str(refused.value).count("train it again") == 1
