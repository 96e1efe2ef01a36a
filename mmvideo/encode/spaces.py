"""What a network can do, told by what it has: how its pictures, clips, sounds and texts become vectors of one space.

Most families have methods for it (`get_image_features`, …). BLIP's and BLIP-2's retrieval classes and PE's have only
the parts, which are put together here as their own `forward` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .checkpoint import accepted

Features = Callable[[Any], Any]
"""Makes a tensor (n, dim), or an output with one in `pooler_output`, of a processor's inputs."""


@dataclass(frozen=True, slots=True)
class Space:
    """The parts of a joint space that a network has, None for each that it lacks.

    `clips` takes pixel values (n, frames, 3, height, width), of as many `frames` as the network was trained with.
    """

    texts: Features | None = None
    pictures: Features | None = None
    clips: Features | None = None
    sounds: Features | None = None
    frames: int = 1


def space(network: Any) -> Space:
    """Return what `network` can put into one space."""
    if hasattr(network, "vision_proj") and hasattr(network, "text_proj"):
        return Space(texts=lambda inputs: _blip_texts(network, inputs), pictures=lambda inputs: _blip(network, inputs))
    if all(hasattr(network, part) for part in ("qformer", "vision_projection", "text_projection", "embeddings")):
        return Space(
            texts=lambda inputs: _blip2_texts(network, inputs), pictures=lambda inputs: _blip2(network, inputs)
        )
    if hasattr(network, "audio_head") and hasattr(network, "text_audio_head"):
        return Space(texts=lambda inputs: _pe_texts(network, inputs), sounds=lambda inputs: _pe_sounds(network, inputs))
    if hasattr(network, "audio_video_head"):  # PE-AV: its sounds and their texts are a network inside
        return space(network.audio_model)
    return Space(
        texts=_method(network, "get_text_features"),
        pictures=_method(network, "get_image_features") if not hasattr(network, "qformer") else None,
        clips=_method(network, "get_video_features"),
        sounds=_method(network, "get_audio_features"),
        frames=int(getattr(getattr(network.config, "vision_config", None), "num_frames", 1) or 1),
    )


def _method(network: Any, name: str) -> Features | None:
    call = getattr(network, name, None)
    return None if call is None else lambda inputs: call(**accepted(call, inputs))


def _blip(network: Any, inputs: Any) -> Any:
    return network.vision_proj(network.vision_model(inputs["pixel_values"]).last_hidden_state[:, 0])


def _blip_texts(network: Any, inputs: Any) -> Any:
    hidden = network.text_encoder(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
    return network.text_proj(hidden.last_hidden_state[:, 0])


def _blip2(network: Any, inputs: Any) -> Any:
    """Return the mean of the unit vectors of a picture's queries. BLIP-2 itself takes the best one's cosine, for which
    a frame would need thirty-two vectors; the cosine with the mean is the mean of their cosines, scaled."""
    import torch

    seen = network.vision_model(inputs["pixel_values"]).last_hidden_state
    queries = network.query_tokens.expand(len(seen), -1, -1)
    mask = torch.ones(seen.shape[:-1], dtype=torch.long, device=seen.device)
    asked = network.qformer(query_embeds=queries, encoder_hidden_states=seen, encoder_attention_mask=mask)
    projected = network.vision_projection(asked.last_hidden_state.to(network.vision_projection.weight.dtype))
    return torch.nn.functional.normalize(projected.float(), dim=-1).mean(dim=1)


def _blip2_texts(network: Any, inputs: Any) -> Any:
    embedded = network.embeddings(input_ids=inputs["input_ids"])
    read = network.qformer(query_embeds=embedded, query_length=0, attention_mask=inputs["attention_mask"])
    hidden = read.last_hidden_state[:, 0]
    return network.text_projection(hidden.to(network.text_projection.weight.dtype))


def _pe_sounds(network: Any, inputs: Any) -> Any:
    heard = network.audio_encoder(**accepted(network.audio_encoder.forward, inputs))
    return network.audio_head(heard.pooler_output)


def _pe_texts(network: Any, inputs: Any) -> Any:
    read = network.text_model(
        input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], output_hidden_states=True
    )
    return network.text_audio_head(read.hidden_states[-1][:, 0])
