"""Small random networks of the real classes of the image-text families, saved with their real processors.

No weights of these families install as a package; what can be checked on these is all that mmvideo does around them.
Tokenizers spell every word, from vocabularies of letters.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
LETTERS = string.ascii_letters + string.digits + string.punctuation
FRAMES = 4
"""Of the clips that the small X-CLIP takes."""

FAMILIES = (
    "clip",
    "siglip",
    "siglip2-fixed",
    "siglip2-naflex",
    "align",
    "altclip",
    "chinese-clip",
    "metaclip-2",
    "blip",
    "blip-retrieval",
    "blip-2-retrieval",
    "x-clip",
)


def save(family: str, folder: Path) -> Path:
    """Save a small random model of a family with its processors, and return the folder."""
    import torch

    torch.manual_seed(0)
    tokenizer = tokenizer_of(family)
    model, processor = _MAKERS["siglip2" if family.startswith("siglip2") else family](tokenizer, family)
    for part in (model, processor, tokenizer):
        part.save_pretrained(folder)
    return folder


def tokenizer_of(family: str) -> Any:
    """A tokenizer of the family's class that spells every word."""
    from transformers import CLIPTokenizer, RobertaTokenizer, Siglip2Tokenizer, XLMRobertaTokenizer

    if family in ("clip", "metaclip-2", "x-clip"):
        spelled = [*LETTERS, *(letter + "</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
        return CLIPTokenizer({token: number for number, token in enumerate(spelled)}, [], model_max_length=77)
    if family.startswith("siglip2"):
        vocabulary = {token: n for n, token in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *LETTERS])}
        # As the published checkpoints have it: no attention mask, padding on the right.
        return Siglip2Tokenizer(vocabulary, [], padding_side="right", model_input_names=["input_ids"])
    if family == "siglip":
        return _pieces()
    if family == "altclip":
        special = ["<s>", "<pad>", "</s>", "<unk>"]
        words = [(token, 0.0) for token in special] + [(token, -5.0) for token in ["▁", *LETTERS]]
        return XLMRobertaTokenizer([*words, ("<mask>", 0.0)], model_max_length=512)
    if family == "clap":
        spelled = ["<s>", "<pad>", "</s>", "<unk>", *LETTERS, "Ġ", "<mask>"]  # Ġ is a space there
        return RobertaTokenizer({token: n for n, token in enumerate(spelled)}, [], model_max_length=512)
    if family == "pe-audio":
        return roberta()
    return _bert()


def _pieces() -> Any:
    """SigLIP's tokenizer, of pieces that SentencePiece learns here from letters."""
    import tempfile

    import sentencepiece
    from transformers import SiglipTokenizer

    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "pieces"
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([*LETTERS, "a dog", "two women laughing"] * 9),
            model_prefix=str(made),
            vocab_size=110,
            hard_vocab_limit=False,
            model_type="unigram",
            unk_id=2,
            eos_id=1,
            pad_id=0,
            bos_id=-1,
            minloglevel=2,
        )
        return SiglipTokenizer(str(made.with_suffix(".model")), model_input_names=["input_ids"])  # as published


def _bert() -> Any:
    from transformers import BertTokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = dict.fromkeys([*string.ascii_lowercase, *string.digits, *string.punctuation])
    words = [*special, *letters, *(f"##{letter}" for letter in letters)]
    return BertTokenizer({word: number for number, word in enumerate(words)}, model_max_length=512)


def roberta() -> Any:
    """A tokenizer in RoBERTa's form: <s> … </s>, the padding's number is 1."""
    from tokenizers.processors import TemplateProcessing

    made = _spelling(
        ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        names=["input_ids", "attention_mask"],
        bos="<s>",
        pad="<pad>",
        eos="</s>",
        unk="<unk>",
        cls="<s>",
        sep="</s>",
    )
    made.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    made.model_max_length = 512
    return made


def _spelling(special: list[str], *, names: list[str], **roles: str) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({token: n for n, token in enumerate([*special, *LETTERS])}, "<unk>"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokens = {f"{role}_token": token for role, token in roles.items()}
    return PreTrainedTokenizerFast(tokenizer_object=words, model_input_names=names, **tokens)


def _words(tokenizer: Any, **more: Any) -> dict[str, Any]:
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    return {**TOWER, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": 24, **more}


PICTURES = {**TOWER, "image_size": 30, "patch_size": 6}


def _clip_processor() -> Any:
    from transformers.models.clip import CLIPImageProcessorPil

    return CLIPImageProcessorPil(size={"shortest_edge": 30}, crop_size={"height": 30, "width": 30})


def _clip(tokenizer: Any, _: str) -> tuple[Any, Any]:
    from transformers import CLIPConfig, CLIPModel

    config = CLIPConfig(text_config=_words(tokenizer), vision_config=PICTURES, projection_dim=20)
    return CLIPModel(config), _clip_processor()


def _metaclip(tokenizer: Any, _: str) -> tuple[Any, Any]:
    from transformers import MetaClip2Config, MetaClip2Model

    config = MetaClip2Config(text_config=_words(tokenizer), vision_config=PICTURES, projection_dim=20)
    return MetaClip2Model(config), _clip_processor()


def _siglip(tokenizer: Any, _: str) -> tuple[Any, Any]:
    from transformers import SiglipConfig, SiglipModel
    from transformers.models.siglip import SiglipImageProcessorPil

    words = _words(tokenizer, projection_size=32)
    model = SiglipModel(SiglipConfig(text_config=words, vision_config=PICTURES))
    return model, SiglipImageProcessorPil(size={"height": 30, "width": 30})


def _siglip2(tokenizer: Any, family: str) -> tuple[Any, Any]:
    from transformers import Siglip2Config, Siglip2Model
    from transformers.models.siglip2 import Siglip2ImageProcessorPil

    if family == "siglip2-fixed":  # published as SigLIP with SigLIP 2's words
        return _siglip(tokenizer, family)
    pictures = {**TOWER, "num_patches": 16, "patch_size": 6}
    words = _words(tokenizer, projection_size=32)
    model = Siglip2Model(Siglip2Config(text_config=words, vision_config=pictures))
    return model, Siglip2ImageProcessorPil(patch_size=6, max_num_patches=16)


def _align(tokenizer: Any, _: str) -> tuple[Any, Any]:
    from transformers import AlignConfig, AlignModel
    from transformers.models.efficientnet.image_processing_pil_efficientnet import EfficientNetImageProcessorPil

    pictures = {
        "image_size": 32,
        "in_channels": [32, 16],
        "out_channels": [16, 20],
        "strides": [1, 2],
        "num_block_repeats": [1, 1],
        "expand_ratios": [1, 6],
        "kernel_sizes": [3, 3],
        "hidden_dim": 64,
        "hidden_act": "swish",
        "initializer_range": 0.3,  # the usual 0.02 leaves numbers of 1e-10 after these layers
    }
    words = _words(tokenizer, pad_token_id=0, type_vocab_size=2)
    config = AlignConfig(text_config=words, vision_config=pictures, projection_dim=40)  # twice the last channels
    return AlignModel(config), EfficientNetImageProcessorPil(
        size={"height": 32, "width": 32}, do_center_crop=False, include_top=False
    )


def _altclip(tokenizer: Any, _: str) -> tuple[Any, Any]:
    from transformers import AltCLIPConfig, AltCLIPModel

    words = _words(tokenizer, project_dim=32, pad_token_id=1, type_vocab_size=1)
    config = AltCLIPConfig(text_config=words, vision_config=PICTURES, projection_dim=32)
    return AltCLIPModel(config), _clip_processor()


def _chinese(tokenizer: Any, _: str) -> tuple[Any, Any]:
    from transformers import ChineseCLIPConfig, ChineseCLIPModel
    from transformers.models.chinese_clip.image_processing_pil_chinese_clip import ChineseCLIPImageProcessorPil

    words = _words(tokenizer, pad_token_id=0)
    config = ChineseCLIPConfig(text_config=words, vision_config=PICTURES, projection_dim=20)
    return ChineseCLIPModel(config), ChineseCLIPImageProcessorPil(
        size={"height": 30, "width": 30}, crop_size={"height": 30, "width": 30}
    )


def _blip_processor() -> Any:
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    return BlipImageProcessorPil(size={"height": 30, "width": 30})


def blip_config(tokenizer: Any) -> Any:
    """The configuration of a small BLIP."""
    from transformers import BlipConfig

    words = _words(tokenizer, pad_token_id=0, bos_token_id=2, eos_token_id=3, sep_token_id=3, encoder_hidden_size=32)
    pictures = {**PICTURES, "initializer_range": 0.02}  # BLIP's own 1e-10 waits for weights that were trained
    return BlipConfig(text_config=words, vision_config=pictures, projection_dim=20, image_text_hidden_size=18)


def _blip(tokenizer: Any, _: str) -> tuple[Any, Any]:
    from transformers import BlipModel

    return BlipModel(blip_config(tokenizer)), _blip_processor()


def _blip_retrieval(tokenizer: Any, _: str) -> tuple[Any, Any]:
    from transformers import BlipForImageTextRetrieval

    return BlipForImageTextRetrieval(blip_config(tokenizer)), _blip_processor()


def _blip2_retrieval(tokenizer: Any, _: str) -> tuple[Any, Any]:
    from transformers import Blip2Config, Blip2ForImageTextRetrieval

    asking = {**_words(tokenizer), "encoder_hidden_size": 32, "use_qformer_text_input": True, "pad_token_id": 0}
    config = Blip2Config(
        vision_config={**PICTURES, "initializer_range": 0.02},
        qformer_config=asking,
        text_config={"model_type": "opt", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        num_query_tokens=3,
        image_text_hidden_size=18,
    )
    model = Blip2ForImageTextRetrieval(config)
    model.query_tokens.data.normal_()  # zeros as they are made: every query would see the same
    return model, _blip_processor()


def _xclip(tokenizer: Any, _: str) -> tuple[Any, Any]:
    from transformers import XCLIPConfig, XCLIPModel

    pictures = {**PICTURES, "num_frames": FRAMES, "mit_hidden_size": 20, "mit_intermediate_size": 64}
    pictures |= {"mit_num_hidden_layers": 1, "mit_num_attention_heads": 2, "drop_path_rate": 0.0}
    config = XCLIPConfig(text_config=_words(tokenizer), vision_config=pictures, projection_dim=20)
    return XCLIPModel(config), _clip_processor()


_MAKERS = {
    "clip": _clip,
    "siglip": _siglip,
    "siglip2": _siglip2,
    "align": _align,
    "altclip": _altclip,
    "chinese-clip": _chinese,
    "metaclip-2": _metaclip,
    "blip": _blip,
    "blip-retrieval": _blip_retrieval,
    "blip-2-retrieval": _blip2_retrieval,
    "x-clip": _xclip,
}


def save_clap(folder: Path, *, fusion: bool = False) -> Path:
    """Save a small random CLAP that hears two seconds at 16 kHz."""
    import torch
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    torch.manual_seed(0)
    tokenizer = tokenizer_of("clap")
    audio = {"spec_size": 64, "num_mel_bins": 32, "patch_size": 4, "patch_stride": [4, 4], "window_size": 4}
    audio |= {"depths": [1, 1], "num_attention_heads": [2, 4], "patch_embeds_hidden_size": 16, "hidden_size": 32}
    audio |= {"num_classes": 2, "projection_dim": 20, "enable_fusion": fusion, "aff_block_r": 2}
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": 24, "pad_token_id": 1}
    config = ClapConfig(text_config={**text, "projection_dim": 20}, audio_config=audio, projection_dim=20)
    extractor = ClapFeatureExtractor(
        feature_size=32,
        sampling_rate=16_000,
        hop_length=252,
        max_length_s=2,
        frequency_max=7500,
        truncation="fusion" if fusion else "rand_trunc",
    )
    for part in (ClapModel(config), extractor, tokenizer):
        part.save_pretrained(folder)
    return folder


def save_pe_audio(folder: Path) -> Path:
    """Save a small random PE-AV sound model (the sound half of PE-AV), which hears as long as it is given."""
    import torch
    from transformers import PeAudioConfig, PeAudioFeatureExtractor, PeAudioModel

    torch.manual_seed(0)
    tokenizer = tokenizer_of("pe-audio")
    dac = {"encoder_hidden_size": 8, "downsampling_ratios": [2, 4], "codebook_dim": 8, "hidden_size": 16}
    heard = {**TOWER, "dac_config": dac, "num_key_value_heads": 4, "head_dim": 8, "max_position_embeddings": 512}
    text = {"model_type": "modernbert", "vocab_size": len(tokenizer), **TOWER, "pad_token_id": 1, "bos_token_id": 0}
    text |= {"eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2, "max_position_embeddings": 64}
    config = PeAudioConfig(text_config=text, audio_config=heard)
    extractor = PeAudioFeatureExtractor(sampling_rate=16_000, hop_length=8)
    for part in (PeAudioModel(config), extractor, tokenizer):
        part.save_pretrained(folder)
    return folder


def save_captioner(family: str, folder: Path) -> Path:
    """Save a small random BLIP, BLIP-2 or GIT that writes text for pictures."""
    import torch
    import transformers

    torch.manual_seed(0)
    tokenizer = _bert()
    if family == "blip":
        model = transformers.BlipForConditionalGeneration(blip_config(tokenizer))
        processor = transformers.BlipProcessor(_blip_processor(), tokenizer)
    elif family == "blip-2":
        model, processor = _blip2_captioner()
    else:
        words = {**_words(tokenizer), "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
        words |= {"max_position_embeddings": 64}
        model = transformers.GitForCausalLM(transformers.GitConfig(vision_config=PICTURES, **words))
        processor = transformers.GitProcessor(_clip_processor(), tokenizer)
    for part in (model, processor):
        part.save_pretrained(folder)
    return folder


def _blip2_captioner() -> tuple[Any, Any]:
    """BLIP-2 with OPT, whose every picture is a few tokens in front of the text."""
    import transformers

    ends = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>"}
    tokenizer = _spelling([*ends.values(), " "], names=["input_ids", "attention_mask"], **ends)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    words = {"model_type": "opt", "hidden_size": 16, "word_embed_proj_dim": 16, "num_hidden_layers": 1}
    words |= {"num_attention_heads": 2, "ffn_dim": 32, "vocab_size": len(tokenizer), "max_position_embeddings": 128}
    words |= {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "init_std": 0.5}
    config = transformers.Blip2Config(
        vision_config={**PICTURES, "initializer_range": 0.3},
        qformer_config={**_words(tokenizer), "encoder_hidden_size": 32, "pad_token_id": 1},
        text_config=words,
        num_query_tokens=3,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    model = transformers.Blip2ForConditionalGeneration(config)
    model.query_tokens.data.normal_()  # zeros as they are made: every query would see the same
    model.language_projection.weight.data.normal_()
    return model, transformers.Blip2Processor(_blip_processor(), tokenizer, num_query_tokens=3)


CHAT = """{% for message in messages %}{{ message['role'] }}: {% for part in message['content'] %}\
{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}
{% endfor %}assistant:"""


def save_chat(folder: Path) -> Path:
    """Save a small random LLaVA: image-text-to-text with a chat template."""
    import torch
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    torch.manual_seed(0)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<image>", " ", "\n"]
    tokenizer = _spelling(
        special, names=["input_ids", "attention_mask"], bos="<s>", pad="<pad>", eos="</s>", unk="<unk>"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    words = {**TOWER, "vocab_size": len(tokenizer), "num_key_value_heads": 4, "max_position_embeddings": 4096}
    words |= {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**PICTURES),
        text_config=LlamaConfig(**words),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=25,
    )
    processor = LlavaProcessor(
        _clip_processor(),
        tokenizer,
        patch_size=6,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    )
    for part in (LlavaForConditionalGeneration(config), processor):
        part.save_pretrained(folder)
    return folder


def save_idefics(folder: Path) -> Path:
    """Save a small random Idefics 3, of the open line from Flamingo: pictures anywhere among the turns of a chat."""
    import torch
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    torch.manual_seed(0)
    marks = ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>"]
    special = ["<s>", "<pad>", "</s>", "<unk>", *marks, " ", "\n"]
    tokenizer = _spelling(
        special, names=["input_ids", "attention_mask"], bos="<s>", pad="<pad>", eos="</s>", unk="<unk>"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    words = {**TOWER, "model_type": "llama", "vocab_size": len(tokenizer), "num_key_value_heads": 4}
    words |= {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1, "max_position_embeddings": 4096}
    words |= {"initializer_range": 0.5}  # with the usual 0.02 it says the same about everything
    config = Idefics3Config(
        text_config=words,
        vision_config={**TOWER, "image_size": 24, "patch_size": 6, "initializer_range": 0.5},
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=1,
    )
    pictures = Idefics3ImageProcessorPil(
        do_image_splitting=False, size={"longest_edge": 24}, max_image_size={"longest_edge": 24}
    )
    processor = Idefics3Processor(pictures, tokenizer, image_seq_len=4, chat_template=CHAT)
    model = Idefics3ForConditionalGeneration(config)
    model.generation_config.eos_token_id = None  # else it stops at once where chance has it
    for part in (model, processor):
        part.save_pretrained(folder)
    return folder
