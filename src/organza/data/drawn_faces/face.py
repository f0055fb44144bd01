"""Cartoon faces that Organza draws itself: images without a download, whose every factor is known.

A `Face` is a value: some choices (hair, glasses, expression ...) and a few numbers (pose, gaze), all independent of
one another. `organza.data.drawn_faces.drawing.draw` makes an image of any size from it, and the functions here
a class, a label vector, attributes or a caption: so one small set serves unconditional and conditional training,
image translation (painting to line art), text to image, and as ground truth for disentanglement.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from organza.core.errors import UserError

CHOICES: dict[str, tuple[str, ...]] = {
    "hair": ("bald", "buzzed", "short", "spiky", "curly", "bob", "long", "wavy", "bun", "pigtails", "ponytail"),
    "fringe": ("swept", "straight", "open"),
    "hair_colour": ("black", "brown", "chestnut", "ginger", "blond", "silver", "pink", "blue", "teal"),
    "skin": ("porcelain", "fair", "peach", "honey", "tan", "brown", "deep"),
    "shape": ("round", "oval", "square", "heart"),
    "eyes": ("round", "almond", "sleepy", "dotted", "closed"),
    "eye_colour": ("brown", "hazel", "green", "blue", "grey", "violet"),
    "brows": ("flat", "arched", "worried", "stern"),
    "nose": ("button", "round", "pointed"),
    "mouth": ("smile", "grin", "laugh", "smirk", "neutral", "sad", "surprised"),
    "beard": ("none", "moustache", "full"),
    "glasses": ("none", "round", "square", "shades"),
    "cheeks": ("plain", "blush", "freckles"),
    "earrings": ("none", "studs", "rings"),
    "clothes": ("crew", "vneck", "collar", "hoodie", "turtleneck", "striped"),
    "clothes_colour": ("red", "mustard", "green", "teal", "blue", "navy", "violet", "cream", "rose"),
    "background": ("sky", "mint", "butter", "coral", "lilac", "rose", "teal", "slate"),
    "backdrop": ("plain", "gradient", "disc"),
}
"""The factors that are choices, with what may be chosen."""

NUMBERS: dict[str, tuple[float, float]] = {
    "yaw": (-1.0, 1.0),
    "pitch": (-1.0, 1.0),
    "tilt": (-9.0, 9.0),
    "x": (-0.07, 0.07),
    "y": (-0.04, 0.04),
    "size": (0.92, 1.06),
    "gaze_x": (-1.0, 1.0),
    "gaze_y": (-1.0, 1.0),
    "parting": (-1.0, 1.0),
}
"""The factors that are numbers, with their ranges."""

# Where equal shares would look odd as a crowd.
_SHARES: dict[str, tuple[float, ...]] = {
    "eyes": (0.34, 0.24, 0.12, 0.18, 0.12),
    "mouth": (0.26, 0.16, 0.14, 0.12, 0.14, 0.08, 0.10),
    "beard": (0.80, 0.08, 0.12),
    "glasses": (0.64, 0.15, 0.13, 0.08),
    "cheeks": (0.35, 0.45, 0.20),
    "earrings": (0.64, 0.20, 0.16),
    "hair": (0.05, 0.07, 0.11, 0.09, 0.11, 0.11, 0.11, 0.10, 0.09, 0.08, 0.08),
}


@dataclass(frozen=True)
class Face:
    """Everything that is to be known of one drawn face.

    Attributes:
        hair, fringe, hair_colour, skin, shape, eyes, eye_colour, brows, nose, mouth, beard, glasses, cheeks, earrings,
            clothes, clothes_colour, background, backdrop: one of `CHOICES`.
        yaw, pitch: where the head turns, right and down positive, within ``[-1, 1]``.
        tilt: the head's rotation in degrees, clockwise positive.
        x, y: the head's place, in halves of the image's shorter side.
        size: the head's scale.
        gaze_x, gaze_y: where the eyes look, within ``[-1, 1]``.
        parting: where the hair is parted, within ``[-1, 1]``.

    Raises:
        UserError: a value is not among the choices or outside of its range.

    Example:
        >>> Face(hair="bob", glasses="round").mouth
        'smile'
        >>> Face(hair="mohawk")
        Traceback (most recent call last):
        ...
        organza.core.errors.UserError: no hair is called 'mohawk'; choose bald, buzzed, short, spiky, ...
    """

    hair: str = "short"
    fringe: str = "swept"
    hair_colour: str = "chestnut"
    skin: str = "peach"
    shape: str = "round"
    eyes: str = "round"
    eye_colour: str = "brown"
    brows: str = "arched"
    nose: str = "button"
    mouth: str = "smile"
    beard: str = "none"
    glasses: str = "none"
    cheeks: str = "blush"
    earrings: str = "none"
    clothes: str = "crew"
    clothes_colour: str = "teal"
    background: str = "butter"
    backdrop: str = "plain"
    yaw: float = 0.0
    pitch: float = 0.0
    tilt: float = 0.0
    x: float = 0.0
    y: float = 0.0
    size: float = 1.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    parting: float = 0.4

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                what = f"no {name} is called {getattr(self, name)!r}"
                raise UserError(what, hint=f"choose {', '.join(choices)}")
        for name, (low, high) in NUMBERS.items():
            if not low <= getattr(self, name) <= high:
                raise UserError(f"{name} is {getattr(self, name)}", hint=f"keep it within {low} and {high}")

    @classmethod
    def random(cls, source: int | Sequence[int] | np.random.RandomState) -> Face:
        """Draw each factor by itself: one seed, or a sequence of seeds, gives one face for ever.

        Numbers lean towards the middle of their range; most faces have no beard and no glasses.

        Example:
            >>> Face.random(7) == Face.random(7), Face.random(7) == Face.random(8)
            (True, False)
        """
        rng = source if isinstance(source, np.random.RandomState) else np.random.RandomState(source)
        choices = {
            name: options[int(np.searchsorted(np.cumsum(_SHARES[name])[:-1], rng.uniform(), side="right"))]
            if name in _SHARES
            else options[rng.randint(len(options))]
            for name, options in CHOICES.items()
        }
        # The mean of two uniform draws: extreme poses exist and are rare.
        numbers = {name: float(rng.uniform(low, high, 2).mean()) for name, (low, high) in NUMBERS.items()}
        return cls(**choices, **numbers)  # type: ignore[arg-type]


def class_index(face: Face, factor: str = "hair") -> int:
    """The number of ``face``'s choice for ``factor``: a class label.

    Example:
        >>> class_index(Face(hair="short"))
        2
    """
    return choices_of(factor).index(getattr(face, factor))


def label_vector(face: Face, factors: Sequence[str] = ("hair",)) -> NDArray[np.float32]:
    """One-hot vectors of the choices ``factors``, one after the other.

    Returns:
        float32 ``[sum of the factors' numbers of choices]``.

    Raises:
        UserError: no such choice.

    Example:
        >>> label_vector(Face(glasses="round", beard="none"), ["glasses", "beard"])
        array([0., 1., 0., 0., 1., 0., 0.], dtype=float32)
    """
    parts = [np.eye(len(choices_of(factor)), dtype=np.float32)[class_index(face, factor)] for factor in factors]
    return np.concatenate(parts)


def ground_truth(face: Face) -> NDArray[np.float32]:
    """Every factor as one number: choices by their index, then numbers as they are, in the order of the fields.

    Example:
        >>> ground_truth(Face()).shape == (len(CHOICES) + len(NUMBERS),)
        True
    """
    values = [class_index(face, f.name) if f.name in CHOICES else getattr(face, f.name) for f in fields(face)]
    return np.array(values, np.float32)


def attributes(face: Face) -> dict[str, bool]:
    """Yes-or-no attributes, named as in CelebA where it has the same.

    Example:
        >>> [name for name, value in attributes(Face(glasses="round", hair="long")).items() if value]
        ['Arched_Eyebrows', 'Brown_Hair', 'Eyeglasses', 'Long_Hair', 'No_Beard', 'Rosy_Cheeks', 'Smiling']
    """
    bald = face.hair == "bald"
    return {
        "Arched_Eyebrows": face.brows == "arched",
        "Bald": bald,
        "Bangs": face.fringe == "straight" and face.hair in ("short", "bob", "long", "wavy", "bun", "pigtails"),
        "Black_Hair": not bald and face.hair_colour == "black",
        "Blond_Hair": not bald and face.hair_colour == "blond",
        "Brown_Hair": not bald and face.hair_colour in ("brown", "chestnut"),
        "Coloured_Hair": not bald and face.hair_colour in ("pink", "blue", "teal"),
        "Eyeglasses": face.glasses != "none",
        "Freckles": face.cheeks == "freckles",
        "Gray_Hair": not bald and face.hair_colour == "silver",
        "Long_Hair": face.hair in ("long", "wavy"),
        "Mouth_Slightly_Open": face.mouth in ("grin", "laugh", "surprised"),
        "Mustache": face.beard == "moustache",
        "No_Beard": face.beard == "none",
        "Oval_Face": face.shape == "oval",
        "Rosy_Cheeks": face.cheeks == "blush",
        "Smiling": face.mouth in ("smile", "grin", "laugh"),
        "Wearing_Earrings": face.earrings != "none",
    }


_MOODS = {
    "smile": "a smiling",
    "grin": "a grinning",
    "laugh": "a laughing",
    "smirk": "a smirking",
    "neutral": "a calm",
    "sad": "a sad",
    "surprised": "a surprised",
}
_HAIR = {
    "bald": "no hair",
    "buzzed": "buzzed {} hair",
    "short": "short {} hair",
    "spiky": "spiky {} hair",
    "curly": "curly {} hair",
    "bob": "a {} bob",
    "long": "long {} hair",
    "wavy": "wavy {} hair",
    "bun": "{} hair in a bun",
    "pigtails": "{} pigtails",
    "ponytail": "a {} ponytail",
}
_CLOTHES = {
    "crew": "a {} shirt",
    "vneck": "a {} v-neck",
    "collar": "a {} sweater with a collar",
    "hoodie": "a {} hoodie",
    "turtleneck": "a {} turtleneck",
    "striped": "a {} striped shirt",
}


def caption(face: Face) -> str:
    """One English sentence about what is to be seen.

    Example:
        >>> caption(Face(hair="bob", hair_colour="pink", eye_colour="green", glasses="round", clothes="hoodie"))
        'a smiling face with a pink bob, green eyes and round glasses, wearing a teal hoodie, on a butter background'
    """
    seen = [_HAIR[face.hair].format(face.hair_colour)]
    if face.glasses != "shades":
        seen.append("closed eyes" if face.eyes == "closed" else f"{face.eye_colour} eyes")
    if face.beard != "none":
        seen.append({"moustache": "a moustache", "full": "a beard"}[face.beard])
    if face.cheeks == "freckles":
        seen.append("freckles")
    if face.glasses != "none":
        seen.append("sunglasses" if face.glasses == "shades" else f"{face.glasses} glasses")
    listed = " and ".join([", ".join(seen[:-1]), seen[-1]]) if len(seen) > 1 else seen[0]
    clothes = _CLOTHES[face.clothes].format(face.clothes_colour)
    return f"{_MOODS[face.mouth]} face with {listed}, wearing {clothes}, on a {face.background} background"


def random_faces(count: int, seed: int = 0) -> Iterator[Face]:
    """``count`` random faces; face ``i`` of a seed is the same whatever the count.

    Example:
        >>> list(random_faces(2, seed=3)) == list(random_faces(5, seed=3))[:2]
        True
    """
    for index in range(count):
        yield Face.random([seed, index])


def choices_of(factor: str) -> tuple[str, ...]:
    """What may be chosen for a factor.

    Raises:
        UserError: no such choice.
    """
    if factor not in CHOICES:
        raise UserError(f"faces have no choice called {factor!r}", hint=f"choose {', '.join(CHOICES)}")
    return CHOICES[factor]
