"""The models of one library: chosen once, kept for good.

Vectors of different models must never be compared, so the first model that makes something for a library is written
down, and every later one is checked against it by name, revision and dimension.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from threading import Lock
from typing import Any, Literal, Protocol

from .datatypes import Modality, ModelId, Recipe
from .errors import RecipeError

Part = Literal["visual", "speech", "passages", "screen", "sound", "caption"]
PARTS: dict[Part, tuple[Modality, ...]] = {
    "visual": ("visual",),
    "speech": ("speech",),
    "passages": ("speech", "screen", "caption"),
    "screen": ("screen",),
    "sound": ("sound",),
    "caption": ("caption",),
}
"""The parts of a recipe that a model makes, and the modalities that must be made again when it changes."""


class Known(Protocol):
    """Where it is written down which models a library was made with."""

    @property
    def place(self) -> str:
        """The library, as a person names it."""
        ...

    @property
    def models(self) -> dict[str, ModelId]:
        """The models by their part in the recipe."""
        ...

    def set_model(self, part: str, model: ModelId) -> None:
        """Write one down."""
        ...


class LibraryModels:
    """The models of one library: what it was made with, or what is chosen at the first need, checked each time."""

    def __init__(self, store: Known, recipe: Recipe, *, offline: bool) -> None:
        self.offline = offline
        self.notes: list[str] = []
        self.writer: Known | None = None
        self._store = store
        self._recipe = recipe
        self._loaded: dict[Part, Any] = {}
        self._lock = Lock()  # picture and sound of one file ask from two threads

    def use(self, part: Part, model: Any) -> None:
        """Take an encoder or a model name given by the caller; refuse one that the library was not made with."""
        known = self._store.models.get(part)
        if model is None or model == "auto":
            return
        if not isinstance(model, str):
            if known is not None:
                self._require(part, known, model.model)
            self._loaded[part] = model
        elif known is not None and model not in ("none", known.name):
            from . import encode

            name = encode.resolve(part, model, offline=self.offline).name
            if name != known.name:
                raise self._refusal(part, known, name)

    def agree(self, models: Mapping[str, ModelId]) -> None:
        """Note models that something elsewhere was made with; refuse others than the library's."""
        for part in PARTS:
            if part not in models:
                continue
            if self.writer is not None:
                self.writer.set_model(part, models[part])
            known = (self.writer or self._store).models.get(part)
            if known is not None:
                self._require(part, known, models[part])

    @property
    def known(self) -> dict[str, ModelId]:
        """The models that the library was made with."""
        return dict(self._store.models)

    @property
    def given(self) -> dict[str, Any]:
        """The models that are loaded or were given."""
        return {str(part): model for part, model in self._loaded.items()}

    def visual(self) -> Any:
        """Return the encoder of frames, or None if the recipe leaves it out."""
        return self._get("visual")

    def speech(self) -> Any:
        """Return the recogniser of speech, or None if the recipe leaves it out."""
        return self._get("speech")

    def passages(self) -> Any:
        """Return the encoder of passages, or None if the recipe leaves it out."""
        return self._get("passages")

    def screen(self) -> Any:
        """Return the reader of text on screen; None if the recipe leaves it out, or says "auto" and it is not here."""
        from . import encode

        if self._recipe.screen == "auto" and "screen" not in self._loaded and not encode.can_read_screen():
            note = f"text on screen is not read any more: {encode.rapid.INSTALL}"
            if "screen" in (self.writer or self._store).models and note not in self.notes:
                self.notes.append(note)
            return None
        return self._get("screen")

    def sound(self) -> Any:
        """Return the encoder of sounds; None if the recipe leaves it out, or says "auto" and no weights are here."""
        from . import encode

        known = (self.writer or self._store).models
        if self._recipe.sound == "auto" and not {"sound"} & {*self._loaded, *known} and not encode.can_hear_sound():
            return None
        return self._get("sound")

    def caption(self) -> Any:
        """Return what captions frames, or None if the recipe leaves it out."""
        return self._get("caption")

    def take_notes(self) -> list[str]:
        """Return what the encoders in use had to say since they were last asked, such as that a text was cut."""
        told: list[str] = []
        for model in self._loaded.values():
            notes = getattr(model, "notes", None)
            if isinstance(notes, list):
                told += notes
                notes.clear()
        return told

    def _get(self, part: Part) -> Any:
        name = getattr(self._recipe, part)
        if name == "none":
            return None
        with self._lock:
            known = (self.writer or self._store).models.get(part)
            if part not in self._loaded:
                self._loaded[part] = self._load(part, known.name if known is not None else name)
            model = self._loaded[part]
            if known is not None:
                self._require(part, known, model.model)
            elif self.writer is not None:
                self.writer.set_model(part, model.model)
                self._require(part, self.writer.models[part], model.model)  # another writer may have been first
            return model

    def _load(self, part: Part, name: str) -> Any:
        from . import encode

        model, note = encode.load(part, name, offline=self.offline)
        if note and note not in self.notes:
            self.notes.append(note)
        return model

    def _require(self, part: Part, known: ModelId, model: ModelId) -> None:
        if model != known:
            ours = model.name if model.name != known.name else f"{model.name} in another revision ({model.revision})"
            raise self._refusal(part, known, ours)

    def _refusal(self, part: Part, known: ModelId, ours: str) -> RecipeError:
        folder = self._store.place
        return RecipeError(
            f"{folder}: its {part} part was made with {known.name} (revision {known.revision}), not {ours}; "
            f"to make it again: mmvideo reindex --library {folder} --{part} {ours.split()[0]}"
        )


def named(recipe: Recipe, given: dict[Part, Any]) -> Recipe:
    """Return the recipe with the given models' names in it."""
    names: dict[str, Any] = {p: m if isinstance(m, str) else m.model.name for p, m in given.items() if m is not None}
    return replace(recipe, **names)
