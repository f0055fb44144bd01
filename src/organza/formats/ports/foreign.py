"""Whose file is it, where we can't use it? Told by the names and shapes of its tensors, never by running anything."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

from organza.tensors.networks import near
from organza.tensors.opening import Opened
from organza.tensors.records import Array, RefusedError

MAX_LINES, MAX_LENGTH, MAX_PATHS = 2000, 150, 12

KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    # --- generators whose layout we read, but alone or in another shape ---
    (
        "the discriminator of rosinality's StyleGAN2, without a generator",
        (r"^final_conv\.0\.weight ", r"^final_linear\.1\.weight "),
    ),
    ("the discriminator of NVIDIA's StyleGAN2, without a generator", (r"^b4\.conv\.weight ", r"^b4\.out\.weight ")),
    ("GFPGAN (face restoration)", (r"^stylegan_decoder\.", r"^conv_body_first\.")),
    # --- diffusion ---
    ("LoRA weights of a diffusion model or language model", (r"lora_(?:unet|te|down|up|A|B)|\.lora\.",)),
    ("Stable Diffusion (CompVis layout)", (r"^model\.diffusion_model\.|^first_stage_model\.|^cond_stage_model\.",)),
    (
        "a U-Net or autoencoder of diffusers (Stable Diffusion and its like)",
        (r"^(?:\w+\.)?(?:down_blocks|up_blocks)\.\d+\.(?:resnets|attentions)\.",),
    ),
    ("a textual inversion for Stable Diffusion", (r"^string_to_param\b|^emb_params ",)),
    ("a diffusion model (guided-diffusion)", (r"^input_blocks\.\d+\.", r"^time_embed\.0\.")),
    # --- feature networks ---
    ("the linear heads of LPIPS", (r"^lin0\.model\.1\.weight ",)),
    (
        "VGG (a classifier, torchvision)",
        (r"^(?:features\.)?0\.weight 64x3x3x3$", r"^(?:features\.)?2\.weight 64x64x3x3$"),
    ),
    ("VGG (a classifier)", (r"^(?:vgg\.)?conv1_1\.weight |^features\.0\.weight 64x3x3x3$",)),
    ("AlexNet (a classifier, torchvision)", (r"^(?:features\.)?0\.weight 64x3x11x11$",)),
    ("SqueezeNet (a classifier, torchvision)", (r"^features\.\d+\.squeeze\.weight ",)),
    (
        "Inception v3 (a classifier, as FID takes it)",
        (r"^Mixed_5b\.branch1x1\.conv\.weight |^mixed_5b|^inception\.Mixed_",),
    ),
    ("FaceNet's Inception ResNet (face identity)", (r"^conv2d_1a\.conv\.weight ",)),
    ("a face parser (BiSeNet)", (r"^cp\.resnet\.conv1\.weight ",)),
    ("ArcFace or IR-SE50 (face identity)", (r"^(?:facenet\.)?input_layer\.0\.weight ", r"\bbody\.\d+\.res_layer\.")),
    ("MobileFaceNet (face identity)", (r"^conv2_dw\.(?:0|conv)\.", r"^conv_23\.|^conv_34\.|^conv_3\.")),
    ("ResNet (a classifier, torchvision)", (r"^(?:\w+\.)?conv1\.weight ", r"^(?:\w+\.)?layer1\.0\.conv1\.weight ")),
    ("DenseNet (a classifier, torchvision)", (r"^features\.denseblock1\.",)),
    ("MobileNet (a classifier, torchvision)", (r"^features\.1\.(?:conv|block)\.0\.0\.weight ",)),
    ("CLIP", (r"^visual\.", r"^(?:text_projection|transformer\.resblocks)")),
    ("a vision transformer (ViT, DINO)", (r"\bcls_token ", r"\bblocks?\.\d+\.attn\.qkv\.weight |\bencoder\.layer")),
    ("MTCNN (face detection)", (r"^prelu1\.weight ", r"^conv4_1\.weight |^dense5_1\.weight |^dense6_1\.weight ")),
    ("LeNet (a classifier of digits)", (r"^(?:convnet\.)?c(?:onv)?1\.weight \d+x\d+x5x5$",)),
    ("U-2-Net (segmentation)", (r"^stage1\.rebnconvin\.",)),
    # --- image to image ---
    ("Photo2Cartoon (minivision)", (r"\bHourGlass1\.|^EncodeBlock1\.conv_block\.",)),
    ("U-GAT-IT", (r"\bUpBlock1_1\.|\bgap_fc\.weight", r"\bconv1x1\.weight ")),
    ("vid2vid (NVIDIA)", (r"^model_(?:down_seg|down_img|final_flow|final_img)\.",)),
    ("a discriminator of pix2pixHD or vid2vid (NVIDIA)", (r"^(?:scale0_layer0|layer0)\.0\.weight \d+x\d+x4x4$",)),
    (
        "the feature encoder of pix2pixHD (NVIDIA), without its generator",
        (r"\A(?![\s\S]*(?:conv_block|filt))", r"^model\.10\.weight ", r"^model\.1\.weight \d+x\d+x7x7$"),
    ),
    ("pix2pixHD (NVIDIA), local enhancer", (r"^model1_1\.", r"^model1_2\.")),
    (
        "pix2pixHD (NVIDIA)",
        (r"^model\.13\.(?:weight \d+x\d+x3x3$|conv_block\.)", r"^model\.10\.weight ", r" \d+x\d+x7x7$"),
    ),
    ("SPADE or GauGAN (NVIDIA)", (r"\bnorm_0\.mlp_shared\.",)),
    ("MUNIT or UNIT", (r"\benc_content\.|\benc\.model\.",)),
    ("StarGAN v2", (r"\bdecode\.\d+\.norm1\.fc\.weight |\bunshared\.0\.|\bshared\.0\.weight 512x16$",)),
    ("StarGAN", (r"^main\.\d+\.main\.0\.weight |^conv2\.weight \d+x\d+x\d+x\d+$", r"^main\.0\.weight ")),
    ("the encoder of BicycleGAN (junyanz), without its generator", (r"^fcVar\.0\.weight ",)),
    ("a discriminator of BicycleGAN (junyanz), without its generator", (r"^model_?0\.0\.weight ",)),
    ("a generator of BicycleGAN (junyanz) of an unusual shape", (r"^model\.(?:submodule\.)*down\.\d",)),
    ("StackGAN or AttnGAN (text to image)", (r"\bca_net\.fc\.|\bencode_img\.|\bget_cond_logits\.|\bh_net1\.",)),
    ("CUT's feature heads", (r"^mlp_0\.0\.weight ",)),
    ("the discriminator of CUT", (r"^model\.0\.weight \d+x\d+x4x4$", r"\.filt ")),
    ("CUT (contrastive unpaired translation)", (r"\.filt ",)),
    ("the discriminator of CartoonGAN, without its generator", (r"^convs\.15\.weight 1x",)),
    ("CartoonGAN, of an unusual shape", (r"^down_convs\.0\.weight ",)),
    ("AnimeGAN2, of an unusual shape", (r"^block_a\.0\.1\.weight ",)),
    ("a first-order motion model", (r"\bdense_motion_network\.",)),
    ("ESRGAN (super-resolution)", (r"\b(?:RRDB_trunk|body)\.\d+\.(?:RDB|rdb)1\.",)),
    ("the discriminator of DiscoGAN", (r"^names model\.Discriminator$", r"^conv5\.weight 1x\d+x4x4$")),
    ("DiscoGAN", (r"^names model\.(?:Generator|Discriminator)$", r"^(?:main\.0|conv1)\.weight \d+x\d+x4x4$")),
    (
        "a U-Net generator of pix2pix, CycleGAN or BicycleGAN (junyanz)",
        (r"\bmodel\.model\.1\.model\.\d+\.|\bmodel\.1\.model\.\d+\.conv\.",),
    ),
    (
        "a ResNet generator of CycleGAN, pix2pix or CUT (junyanz)",
        (r"\bmodel\.\d+\.(?:conv_block|block)\.\d+\.", r" \d+x\d+x7x7$"),
    ),
    (
        "a PatchGAN discriminator of pix2pix, CycleGAN or CUT (junyanz), without its generator",
        (r"\bmodel\.0\.(?:conv\.)?weight \d+x\d+x4x4$|^net\.0\.weight \d+x\d+x1x1$",),
    ),
    # --- generators from codes that we don't build ---
    ("rosinality's first StyleGAN (style-based-gan-pytorch)", (r"\bprogression\.0\.conv",)),
    ("a generator of GenForce or InterFaceGAN", (r"\bsynthesis\.layer0\.",)),
    ("EG3D (NVIDIA)", (r"^backbone\.synthesis\.",)),
    ("FastGAN", (r"^init\.init\.\d|\bfeat_8\.",)),
    ("BigGAN", (r"^shared\.weight ", r"^blocks\.0\.0\.")),
    ("DCGAN (PyTorch's example and its like)", (r"^(?:main|network|layers)\.0\.weight 100x\d+x4x4$",)),
    ("a convolution network without further signs, such as DCGAN", (r"^main\.0\.weight \d+x\d+x\d+x\d+$",)),
    ("a plain chain of layers (torch.nn.Sequential)", (r"^0\.weight ",)),
    ("a single linear layer", (r"\A(?:\w+\.)?weight \d+x\d+\n(?:\w+\.)?bias \d+\n?\Z",)),
)
"""What it is, and the patterns that all occur among lines of ``name sizes``; the first that fits is taken."""

OPTIMIZER = re.compile(r"(?:exp_avg|exp_avg_sq|max_exp_avg_sq|momentum_buffer|square_avg|step)$")
COLLECTIONS = {
    "mmgeneration": (("meta", "mmgen_version"), ("meta", "mmagic_version"), ("meta", "mmcv_version")),
    "Lightning": (("pytorch-lightning_version",),),
}


def whose(opened: Opened) -> str | None:
    """What a file is that we can't use; None where nothing is known about it.

    Example:
        >>> from pathlib import Path
        >>> print(whose(Opened(Path("a.pt"), "pickle", {"a": 1})))
        None
    """
    try:
        tensors = opened.tensors
    except RefusedError:
        return None
    if not tensors:
        return None
    if all(OPTIMIZER.search(name) for name in tensors):
        return "the state of an optimizer, without networks"
    described = ((name[:MAX_LENGTH], "x".join(map(str, tensor.shape))) for name, tensor in tensors.items())
    lines = [f"{name} {sizes}" for name, sizes in islice(described, MAX_LINES)]
    # They may lie in dictionaries, so the patterns are tried behind each prefix of up to three words as well.
    parts = [name.split(".") for name in tensors][:MAX_LINES]
    paths = dict.fromkeys("".join(f"{part}." for part in held[:depth]) for depth in range(4) for held in parts)
    tried = list(paths)[:MAX_PATHS]
    alone = ["\n".join(line[len(path) :] for line in lines if line.startswith(path)) for path in tried]
    named = "".join(f"\nnames {name}" for name in opened.foreign)
    collection = _collection(opened.value)
    if collection is None and any(isinstance(tensor, Array) for tensor in tensors.values()):
        collection = "PaddleGAN"
    for what, patterns in KINDS:
        if any(all(re.search(pattern, text + named, re.MULTILINE) for pattern in patterns) for text in alone):
            return what if collection is None else f"{what}, in a file of {collection}"
    return None if collection is None else f"a file of {collection}"


def _collection(value: Any) -> str | None:
    for name, places in COLLECTIONS.items():
        for *path, key in places:
            if near(value, ".".join(path), key) is not None:
                return name
    return None
