"""Whatever fits the OpenAPI schema, or just does not, is answered as the schema says, and never with a 500."""

import contextlib
import json

import hypothesis
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mmvideo import Library
from mmvideo.datatypes import AddReport
from mmvideo.server import create_app
from mmvideo.server.guard import LOOPBACK

from .films import make_film
from .stubs import ColourEncoder, ScriptedTranscriber, WordEncoder
from .test_sound import SeeingBandEncoder, tone
from .toyworld import write_wav

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
BOUNDS = hypothesis.settings(
    max_examples=15,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def schema(tmp_path, monkeypatch):
    """The schema of a library that holds a film (media 1) and tones (2)."""
    make_film(tmp_path / "film.mp4", [("red", 3), ("green", 3)])
    write_wav(tmp_path / "tones.wav", np.concatenate([tone("low", 3), tone("high", 3)]))
    own = {"visual": ColourEncoder(), "speech": ScriptedTranscriber(), "passages": WordEncoder()}
    with Library.open(tmp_path / "l.mmv", **own, sound=SeeingBandEncoder()) as library:
        library.add(tmp_path)
        # "/" would be a fine path to add: everything on this machine
        monkeypatch.setattr(library, "add", lambda paths, progress=None: AddReport(()))
        yield schemathesis.openapi.from_asgi("/api/openapi.json", create_app(library, hosts=LOOPBACK | {"testserver"}))


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
def test_requests_are_answered_as_the_schema_says(schema, mode):
    operations = [found.ok() for found in schema.get_all_operations()]
    operations.sort(key=lambda operation: operation.method.lower() == "delete")
    statuses = {}
    for operation in operations:
        ids = [None, {"media_id": 1}, {"media_id": 2}] if "{media_id}" in operation.path else [None]
        if any(operation.iter_parameters()) or operation.body:
            statuses[operation.label] = set().union(*(sent(operation, mode, one) for one in ids))
    assert len(statuses) >= 14
    if mode is GenerationMode.POSITIVE:
        right = {label for label, codes in statuses.items() if codes & {200, 202}}
        # an upload that can be read, the length of a clip and a job that runs are not guessed
        unguessed = {"POST /api/search", "GET /api/media/{media_id}/clip"}
        assert set(statuses) - right <= unguessed | {"GET /api/jobs/{job_id}", "GET /api/jobs/{job_id}/events"}


def sent(operation, mode, ids):
    """Send made-up requests, check each answer, and return the statuses."""
    found = set()

    @BOUNDS
    @hypothesis.given(operation.as_strategy(mode))
    def send(case):
        case.path_parameters = ids or case.path_parameters
        answer = case.call()
        found.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)
        if answer.status_code >= 400:
            assert set(json.loads(answer.content)) == {"error"}

    with contextlib.suppress(hypothesis.errors.Unsatisfiable):  # nothing of it can be wrong
        send()
    assert found or mode is GenerationMode.NEGATIVE
    return found
