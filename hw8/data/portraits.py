"""Portraits drawn from random numbers: soft-edged shapes, lit and photographed, many at once.

Coordinates are in face units: the face's centre is (0, 0), its chin about (0, 1), x to the right,
y down. Colours and brightness are in [0, 1] until the camera turns them into uint8.

All sizes, colours and ranges here were chosen by hand, by looking at the pictures: they make faces as varied as a
photo collection at 64 pixels. The data are pinned byte for byte (`VERSION` in `demo.py` names them), so that none of
the numbers, nor the order in which random numbers are drawn, may change without a new version.
"""

import dataclasses

import numpy as np
from scipy import ndimage

SIDE = 64  # pixels, as in the homework
Field = np.ndarray  # float32 (B, SIDE, SIDE)
Colour = np.ndarray  # float32 (B, 3)
Palette = tuple[tuple[float, float, float], ...]

# The lens blurs with a Gaussian of this many pixels, mixed with the sharp picture by `Camera.softness`. An eye is about
# five pixels wide: at twice as much blur nothing of it would be left.
LENS_BLUR = 1.1
# Gaussians are cut at so many standard deviations; what lies beyond weighs one percent.
BLUR_CUT = 2.5
# Weights of the lamp: how much of it comes from the front, and how bright a surface is that faces it.
LAMP_FRONT, LAMP_BRIGHTNESS = 0.8, 1.15
# The head as an ellipsoid, for its shading: half its width and height in face units. It must contain every drawn head,
# since there is no slope outside of it.
HEAD_HALF_WIDTH, HEAD_HALF_HEIGHT = 0.95, 1.15

SKIN: Palette = ((0.96, 0.8, 0.69), (0.87, 0.66, 0.52), (0.72, 0.5, 0.36), (0.5, 0.32, 0.22), (0.33, 0.21, 0.15))
HAIR: Palette = (
    (0.08, 0.06, 0.05), (0.25, 0.16, 0.1), (0.45, 0.3, 0.16), (0.78, 0.62, 0.38), (0.55, 0.52, 0.5), (0.5, 0.2, 0.1)
)  # fmt: skip
CLOTH: Palette = ((0.15, 0.17, 0.25), (0.7, 0.7, 0.72), (0.5, 0.12, 0.14), (0.15, 0.35, 0.3), (0.35, 0.35, 0.4))
ROOM: Palette = ((0.75, 0.75, 0.78), (0.25, 0.3, 0.4), (0.5, 0.42, 0.35), (0.3, 0.45, 0.3), (0.9, 0.88, 0.84))
IRIS: Palette = ((0.2, 0.12, 0.08), (0.3, 0.4, 0.55), (0.3, 0.36, 0.22))
FUR: Palette = ((0.55, 0.42, 0.28), (0.3, 0.28, 0.27), (0.85, 0.6, 0.35), (0.8, 0.78, 0.75), (0.12, 0.11, 0.11))
CAT_IRIS: Palette = ((0.8, 0.7, 0.2), (0.4, 0.65, 0.3), (0.4, 0.6, 0.8))
# Of drawn faces: more saturated than the others, since a cartoon is meant to be a far anomaly.
INK: Palette = ((0.1, 0.08, 0.12),)
PAPER: Palette = ((0.95, 0.95, 0.97), (0.7, 0.85, 0.95), (0.95, 0.8, 0.85))
DRAWN_SKIN: Palette = ((1.0, 0.88, 0.8), (0.96, 0.8, 0.7))
DRAWN_HAIR: Palette = ((0.9, 0.4, 0.6), (0.3, 0.5, 0.9), (0.95, 0.85, 0.4), (0.5, 0.3, 0.6), (0.3, 0.7, 0.5))
DRAWN_IRIS: Palette = ((0.2, 0.5, 0.8), (0.6, 0.2, 0.3), (0.3, 0.6, 0.3))

# Shares of the people who wear them; on the others the mask is zero everywhere.
BEARDED, WITH_GLASSES, MOUTH_OPEN = 0.2, 0.15, 0.4
# How far each feature of a displaced face moves, as a share of `shift`. Eyes move most up and down, each by itself, so
# that they stand at unlike heights.
EYE_MOVES_X, EYE_MOVES_Y, NOSE_MOVES_X, NOSE_MOVES_Y, MOUTH_MOVES_X, MOUTH_MOVES_Y = 0.4, 1.0, 0.6, 0.5, 0.7, 0.6
# How far a turned head (`yaw`) carries each feature along: more, the further it stands out of the face.
BEARD_TURN, NOSE_TURN, NOSE_BRIDGE_TURN = 0.6, 1.5, 0.8


@dataclasses.dataclass
class Camera:
    """How a scene becomes pixels; each pair is the range that a face's value is drawn from."""

    noise: tuple[float, float] = (0.006, 0.025)
    softness: tuple[float, float] = (0.2, 0.9)
    warmth: tuple[float, float] = (-0.07, 0.07)
    gamma: tuple[float, float] = (0.85, 1.2)
    light_x: tuple[float, float] = (-0.8, 0.8)
    light_y: tuple[float, float] = (-0.8, 0.1)
    ambient: tuple[float, float] = (0.45, 0.75)


class Scene:
    """`count` canvases with one face frame each, and the brushes that draw on them."""

    def __init__(self, rng: np.random.Generator, count: int, camera: Camera) -> None:
        self.rng, self.count, self.camera = rng, count, camera
        axis = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE * 2 - 1
        self.page_x, self.page_y = np.broadcast_arrays(axis[None, None, :], axis[None, :, None])
        roll, self.scale = self.uniform(-0.16, 0.16), self.uniform(0.62, 0.76)
        x, y = self.page_x - self.uniform(-0.1, 0.1), self.page_y - self.uniform(-0.06, 0.14)
        self.x = (x * np.cos(roll) + y * np.sin(roll)) / self.scale
        self.y = (y * np.cos(roll) - x * np.sin(roll)) / self.scale
        self.yaw = self.uniform(-0.16, 0.16)
        self.canvas = np.zeros((count, 3, SIDE, SIDE), np.float32)

    def uniform(self, low: float, high: float) -> Field:
        """Return one number per face, shaped to combine with fields."""
        return self.rng.uniform(low, high, (self.count, 1, 1)).astype(np.float32)

    def chance(self, probability: float) -> Field:
        """Return for each face whether it is one of this share, shaped to combine with fields."""
        return self.rng.random((self.count, 1, 1)) < probability

    def colours(self, palette: Palette, spread: float = 0.06) -> Colour:
        """Return one colour per face: a random mixture of two palette entries, varied by `spread`."""
        entries = np.asarray(palette, np.float32)
        first, second = self.rng.integers(0, len(entries), (2, self.count))
        share = self.rng.random((self.count, 1))
        mixed = entries[first] * share + entries[second] * (1 - share)
        return (mixed + self.rng.normal(0, spread, (self.count, 3))).clip(0.02, 0.98).astype(np.float32)

    def paint(self, mask: Field, colour: np.ndarray) -> None:
        """Cover the canvas with `colour` (one per face, or a whole picture) where `mask` is 1."""
        if colour.ndim == 2:
            colour = colour[:, :, None, None]
        self.canvas += mask[:, None] * (colour - self.canvas)

    def ellipse(self, x: Field | float, y: Field | float, rx: Field | float, ry: Field | float) -> Field:
        """Return the mask of an ellipse in face units, with an edge about a pixel wide."""
        distance = np.sqrt(((self.x - x) / rx) ** 2 + ((self.y - y) / ry) ** 2)
        return np.clip((1 - distance) * np.minimum(rx, ry) * self.scale * SIDE / 2 + 0.5, 0, 1)

    def half_plane(self, distance: Field, width: float = 0.06) -> Field:
        """Return a mask that rises from 0 to 1, over `width`, where `distance` goes from below to above zero."""
        return np.clip(distance / width + 0.5, 0, 1)

    def texture(self, grain: float) -> Field:
        """Return smooth noise with a standard deviation of 1; `grain` is its size in pixels."""
        noise = self.rng.standard_normal((self.count, SIDE, SIDE)).astype(np.float32)
        noise = ndimage.gaussian_filter(noise, (0, grain, grain), truncate=BLUR_CUT)
        return noise / (noise.std(axis=(1, 2), keepdims=True) + 1e-6)

    def background(self) -> None:
        """Paint two colours that run into each other, with soft shapes in front."""
        angle = self.uniform(0, 6.283)
        ramp = (0.5 + 0.4 * (self.page_x * np.cos(angle) + self.page_y * np.sin(angle))).clip(0, 1)
        self.paint(np.ones_like(ramp), self.colours(ROOM))
        self.paint(ramp, self.colours(ROOM))
        self.paint(self.half_plane(self.texture(8) - 0.4, 0.8) * self.uniform(0, 0.7), self.colours(ROOM, spread=0.12))

    def relief(self, head: Field) -> Field:
        """Return the brightness of the head as an ellipsoid under one lamp and ambient light (Lambert's cosine law)."""
        nx, ny = self.x / HEAD_HALF_WIDTH, self.y / HEAD_HALF_HEIGHT
        nz = np.sqrt(np.clip(1.05 - nx**2 - ny**2, 0.02, None))
        lx, ly = self.uniform(*self.camera.light_x), self.uniform(*self.camera.light_y)
        length = np.sqrt(lx**2 + ly**2 + LAMP_FRONT**2)
        lamp = np.clip((nx * lx + ny * ly + nz * LAMP_FRONT) / length, 0, None)
        ambient = self.uniform(*self.camera.ambient)
        return np.asarray(1 + head * (ambient + (LAMP_BRIGHTNESS - ambient) * lamp - 1))

    def photograph(self) -> np.ndarray:
        """Return the canvases as uint8 (B, SIDE, SIDE, 3): lens softness, white balance, gamma and sensor noise."""
        soft = ndimage.gaussian_filter(self.canvas, (0, 0, LENS_BLUR, LENS_BLUR), truncate=BLUR_CUT)
        share = self.uniform(*self.camera.softness)[:, None]
        picture = self.canvas * (1 - share) + soft * share
        warmth = self.uniform(*self.camera.warmth)[:, None]
        picture = picture * (1 + warmth * np.asarray([1, 0, -1], np.float32)[:, None, None])
        picture = np.clip(picture, 0, 1) ** self.uniform(*self.camera.gamma)[:, None]
        grain = self.rng.standard_normal(picture.shape, np.float32) * self.uniform(*self.camera.noise)[:, None]
        return np.rint((picture + grain).clip(0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)


def draw_person(scene: Scene, shift: float = 0.0) -> None:
    """Draw a person's head and shoulders. Eyes, nose and mouth each move by about `shift`, in random directions."""
    skin, hair, cloth = scene.colours(SKIN, spread=0.02), scene.colours(HAIR, spread=0.03), scene.colours(CLOTH)
    scene.background()
    head_width, hair_length = scene.uniform(0.68, 0.84), scene.uniform(0.02, 1.0)
    hair_width = head_width + scene.uniform(0.06, 0.22)
    # Hair behind the head: the crown stays at -1.1 while the lower end falls from the jaw to the shoulders.
    hair_y, hair_height = -0.12 + 0.5 * hair_length, 0.98 + 0.45 * hair_length
    scene.paint(scene.ellipse(0, hair_y, hair_width, hair_height), hair * 0.85)
    scene.paint(scene.ellipse(0, 1.95, scene.uniform(1.2, 1.6), 0.8), cloth)  # shoulders
    scene.paint(scene.ellipse(0, 1.05, 0.36, 0.5), skin * 0.8)  # neck, in the chin's shadow
    for side in (-1, 1):
        scene.paint(scene.ellipse(side * head_width, 0.02, 0.12, 0.2), skin * 0.88)  # ears
    head = scene.ellipse(0, 0, head_width, scene.uniform(0.96, 1.08))
    shade = scene.relief(head) * (1 + 0.03 * head * scene.texture(1.5))
    scene.paint(head, skin)
    _features(scene, skin, hair, shift)
    # The hairline on the forehead: tilted (a parting at one side) and bent (temples).
    hairline = (
        -0.5 + scene.uniform(-0.18, 0.12) + scene.uniform(-0.3, 0.3) * scene.x + scene.uniform(0, 0.5) * scene.x**2
    )
    cap = scene.ellipse(0, -0.12, hair_width, 0.98) * scene.half_plane(hairline - scene.y)
    scene.paint(cap, hair[:, :, None, None] * (1 + 0.12 * scene.texture(1.0))[:, None])
    scene.canvas *= shade[:, None]


def _features(scene: Scene, skin: Colour, hair: Colour, shift: float) -> None:
    """Brows, eyes, nose, mouth and, on some, glasses or a beard."""

    def moved() -> Field:
        size = scene.uniform(0.75, 1.25) * shift
        return size * np.where(scene.chance(0.5), -1, 1).astype(np.float32)

    yaw, apart, eye = scene.yaw, scene.uniform(0.29, 0.37), scene.uniform(0.1, 0.13)
    iris = scene.colours(IRIS)
    beard = scene.chance(BEARDED) * scene.uniform(0.2, 0.8)
    scene.paint(scene.ellipse(yaw * BEARD_TURN, 0.78, 0.5, 0.42) * beard, hair)
    height = scene.uniform(-0.14, -0.06)
    for side in (-1, 1):
        x, y = side * apart + yaw + moved() * EYE_MOVES_X, height + moved() * EYE_MOVES_Y
        scene.paint(scene.ellipse(x, y, eye * 1.35, eye * 0.95) * 0.35, skin * 0.55)  # socket
        scene.paint(scene.ellipse(x, y, eye, eye * 0.58), scene.colours(((0.93, 0.92, 0.9),), spread=0.02))
        look = x + scene.uniform(-0.02, 0.02)
        scene.paint(scene.ellipse(look, y, eye * 0.52, eye * 0.55), iris)
        scene.paint(scene.ellipse(look, y, eye * 0.24, eye * 0.26), iris * 0.2)  # pupil
        scene.paint(scene.ellipse(x, y - scene.uniform(0.15, 0.21), eye * 1.5, 0.045) * 0.8, hair * 0.7)  # brow
    tip, nose = yaw * NOSE_TURN + moved() * NOSE_MOVES_X, scene.uniform(0.2, 0.28) + moved() * NOSE_MOVES_Y
    scene.paint(scene.ellipse(tip * NOSE_BRIDGE_TURN, nose - 0.16, 0.07, 0.24) * 0.3, np.minimum(skin * 1.15, 1))
    scene.paint(scene.ellipse(tip, nose, scene.uniform(0.11, 0.15), 0.06) * 0.55, skin * 0.62)  # nostrils
    _mouth(scene, yaw + moved() * MOUTH_MOVES_X, scene.uniform(0.5, 0.58) + moved() * MOUTH_MOVES_Y, skin)
    glasses = scene.chance(WITH_GLASSES) * 0.8
    for side in (-1, 1):
        centre = side * apart + yaw
        rim = scene.ellipse(centre, height, 0.25, 0.2) - scene.ellipse(centre, height, 0.2, 0.15)
        scene.paint(rim.clip(0, 1) * glasses, iris * 0.4)


def _mouth(scene: Scene, x: Field, y: Field, skin: Colour) -> None:
    """Lips that curve, on some parted over teeth."""
    lips = (skin * np.asarray([0.85, 0.5, 0.5], np.float32)).clip(0, 1)
    width, curve = scene.uniform(0.2, 0.32), scene.uniform(-0.2, 0.9)
    bent = y - curve * ((scene.x - x) ** 2 - 0.03)  # a parabola whose middle and corners lie around y
    scene.paint(scene.ellipse(x, bent, width, scene.uniform(0.06, 0.1)), lips)
    teeth = scene.chance(MOUTH_OPEN) * 0.9
    scene.paint(scene.ellipse(x, bent, width * 0.75, 0.045) * teeth, scene.colours(((0.93, 0.9, 0.86),), spread=0.02))


def draw_cartoon(scene: Scene) -> None:
    """Draw a cartoon face: flat colours, dark outlines, large eyes, loud hair."""
    ink = scene.colours(INK, spread=0.02)
    skin, hair = scene.colours(DRAWN_SKIN, spread=0.02), scene.colours(DRAWN_HAIR)
    scene.paint(np.ones_like(scene.x), scene.colours(PAPER))
    # Each shape stands on a slightly larger one in ink, whose rim is its outline.
    scene.paint(scene.ellipse(0, 0.15, 1.12, 1.3), ink)
    scene.paint(scene.ellipse(0, 0.15, 1.07, 1.25), hair)
    scene.paint(scene.ellipse(0, 0.1, 0.8, 0.9), ink)
    scene.paint(scene.ellipse(0, 0.1, 0.76, 0.86), skin)
    iris, tall = scene.colours(DRAWN_IRIS), scene.uniform(0.26, 0.34)
    for side in (-1, 1):
        x = side * 0.36 + scene.yaw
        for size, colour in ((1.0, ink), (0.85, iris), (0.45, ink)):
            scene.paint(scene.ellipse(x, 0.12, 0.19 * size, tall * size), colour)
        scene.paint(scene.ellipse(x - 0.06, 0.0, 0.06, 0.08), np.ones_like(ink))  # highlight
    scene.paint(scene.ellipse(scene.yaw, 0.66, scene.uniform(0.06, 0.14), 0.035), ink)  # mouth
    tips = scene.uniform(3, 5)
    fringe = -0.3 + scene.uniform(-0.1, 0.1) + 0.14 * np.abs((scene.x * tips) % 2 - 1)  # a zigzag of `tips` points
    scene.paint(scene.ellipse(0, 0.05, 1.0, 1.05) * scene.half_plane(fringe - scene.y), hair)


def draw_cat(scene: Scene) -> None:
    """Draw a cat's face: pointed ears, striped fur, slit pupils, muzzle and whiskers."""
    fur = scene.colours(FUR)
    pale = np.minimum(fur * 0.5 + 0.5, 1)
    scene.background()
    for side in (-1, 1):
        x, y = (scene.x * side - 0.58) / 0.36, scene.y + 1.25  # from the ear's tip
        ear = scene.half_plane(y * 0.75 - np.abs(x)) * scene.half_plane(0.8 - y)
        scene.paint(ear, fur * 0.8)
        scene.paint(scene.half_plane(y * 0.75 - 0.25 - np.abs(x)) * scene.half_plane(0.7 - y), pale * 0.85)
    head = scene.ellipse(0, 0.1, 0.95, 0.85)
    stripes = 1 + 0.25 * head * np.sin(scene.x * scene.uniform(9, 14) + 2 * scene.texture(4)) * scene.uniform(0, 1)
    shade = scene.relief(head) * (1 + 0.1 * head * scene.texture(0.7)) * stripes
    scene.paint(head, fur)
    scene.paint(scene.ellipse(scene.yaw, 0.5, 0.42, 0.32), pale)  # muzzle
    iris = scene.colours(CAT_IRIS)
    scene.canvas *= shade[:, None]
    for side in (-1, 1):
        x = side * 0.42 + scene.yaw
        scene.paint(scene.ellipse(x, -0.02, 0.2, 0.15), iris)
        scene.paint(scene.ellipse(x, -0.02, scene.uniform(0.03, 0.09), 0.14), iris * 0.1)  # pupil
        for slope in (-0.1, 0.05, 0.2):
            line = np.abs(scene.y - 0.5 - slope * (scene.x * side - 0.2)) < 0.018
            scene.paint(line * (scene.x * side > 0.3) * 0.6, np.ones_like(fur) * 0.95)  # whisker
    scene.paint(scene.ellipse(scene.yaw, 0.36, 0.1, 0.07), fur * 0.3 + np.asarray([0.35, 0.15, 0.17], np.float32))
    scene.paint(scene.ellipse(scene.yaw, 0.55, 0.02, 0.12) * 0.7, fur * 0.2)
