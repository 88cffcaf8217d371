"""Draw small portraits from random numbers: soft-edged shapes, lit and photographed, many at once.

Coordinates are in face units: the face's centre is (0, 0), its chin about (0, 1), x to the right,
y down. Colours and brightness are in [0, 1] until the camera turns them into uint8.
"""

import dataclasses

import numpy as np
from scipy import ndimage

SIDE = 64
Field = np.ndarray  # float32 (B, SIDE, SIDE)
Colour = np.ndarray  # float32 (B, 3)


@dataclasses.dataclass
class Camera:
    """How a scene becomes pixels; each pair is the range drawn from, a face at a time."""

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
        """A number a face, shaped to combine with fields."""
        return self.rng.uniform(low, high, (self.count, 1, 1)).astype(np.float32)

    def colours(self, *palette: tuple[float, float, float], spread: float = 0.06) -> Colour:
        """A colour a face: a random mixture of two palette entries, varied by `spread`."""
        entries = np.asarray(palette, np.float32)
        first, second = self.rng.integers(0, len(entries), (2, self.count))
        share = self.rng.random((self.count, 1))
        mixed = entries[first] * share + entries[second] * (1 - share)
        return (mixed + self.rng.normal(0, spread, (self.count, 3))).clip(0.02, 0.98).astype(np.float32)

    def paint(self, mask: Field, colour: np.ndarray) -> None:
        """Cover the canvas with `colour` (a colour a face or a whole picture) where `mask` is 1."""
        if colour.ndim == 2:
            colour = colour[:, :, None, None]
        self.canvas += mask[:, None] * (colour - self.canvas)

    def ellipse(self, x: Field | float, y: Field | float, rx: Field | float, ry: Field | float) -> Field:
        """Mask of an ellipse in face units, with an edge about a pixel wide."""
        distance = np.sqrt(((self.x - x) / rx) ** 2 + ((self.y - y) / ry) ** 2)
        return np.clip((1 - distance) * np.minimum(rx, ry) * self.scale * SIDE / 2 + 0.5, 0, 1)

    def half_plane(self, distance: Field, width: float = 0.06) -> Field:
        """Mask that rises from 0 to 1 where `distance` goes from below to above zero."""
        return np.clip(distance / width + 0.5, 0, 1)

    def texture(self, grain: float) -> Field:
        """Smooth noise of unit spread; `grain` is its size in pixels."""
        noise = self.rng.standard_normal((self.count, SIDE, SIDE)).astype(np.float32)
        noise = ndimage.gaussian_filter(noise, (0, grain, grain), truncate=2.5)
        return noise / (noise.std(axis=(1, 2), keepdims=True) + 1e-6)

    def background(self) -> None:
        """Two colours that run into each other, with soft shapes in front."""
        room = ((0.75, 0.75, 0.78), (0.25, 0.3, 0.4), (0.5, 0.42, 0.35), (0.3, 0.45, 0.3), (0.9, 0.88, 0.84))
        angle = self.uniform(0, 6.283)
        ramp = (0.5 + 0.4 * (self.page_x * np.cos(angle) + self.page_y * np.sin(angle))).clip(0, 1)
        self.paint(np.ones_like(ramp), self.colours(*room))
        self.paint(ramp, self.colours(*room))
        self.paint(self.half_plane(self.texture(8) - 0.4, 0.8) * self.uniform(0, 0.7), self.colours(*room, spread=0.12))

    def relief(self, head: Field) -> Field:
        """Brightness of the head as an ellipsoid under one lamp and ambient light (Lambert)."""
        nx, ny = self.x / 0.95, self.y / 1.15
        nz = np.sqrt(np.clip(1.05 - nx**2 - ny**2, 0.02, None))
        lx, ly = self.uniform(*self.camera.light_x), self.uniform(*self.camera.light_y)
        lamp = np.clip((nx * lx + ny * ly + nz * 0.8) / np.sqrt(lx**2 + ly**2 + 0.64), 0, None)
        ambient = self.uniform(*self.camera.ambient)
        return np.asarray(1 + head * (ambient + (1.15 - ambient) * lamp - 1))

    def photograph(self) -> np.ndarray:
        """The canvases as uint8 (B, SIDE, SIDE, 3): lens softness, white balance, gamma and sensor noise."""
        soft = ndimage.gaussian_filter(self.canvas, (0, 0, 1.1, 1.1), truncate=2.5)
        share = self.uniform(*self.camera.softness)[:, None]
        picture = self.canvas * (1 - share) + soft * share
        warmth = self.uniform(*self.camera.warmth)[:, None]
        picture = picture * (1 + warmth * np.asarray([1, 0, -1], np.float32)[:, None, None])
        picture = np.clip(picture, 0, 1) ** self.uniform(*self.camera.gamma)[:, None]
        grain = self.rng.standard_normal(picture.shape, np.float32) * self.uniform(*self.camera.noise)[:, None]
        return np.rint((picture + grain).clip(0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)


SKIN = ((0.96, 0.8, 0.69), (0.87, 0.66, 0.52), (0.72, 0.5, 0.36), (0.5, 0.32, 0.22), (0.33, 0.21, 0.15))
HAIR = (
    (0.08, 0.06, 0.05),
    (0.25, 0.16, 0.1),
    (0.45, 0.3, 0.16),
    (0.78, 0.62, 0.38),
    (0.55, 0.52, 0.5),
    (0.5, 0.2, 0.1),
)
CLOTH = ((0.15, 0.17, 0.25), (0.7, 0.7, 0.72), (0.5, 0.12, 0.14), (0.15, 0.35, 0.3), (0.35, 0.35, 0.4))


def draw_person(scene: Scene, shift: float = 0.0) -> None:
    """A person's head and shoulders. `shift` moves eyes, nose and mouth by about that much, each its own way."""
    skin, hair, cloth = scene.colours(*SKIN, spread=0.02), scene.colours(*HAIR, spread=0.03), scene.colours(*CLOTH)
    scene.background()
    width, length = scene.uniform(0.68, 0.84), scene.uniform(0.02, 1.0)
    thickness = scene.uniform(0.06, 0.22)
    scene.paint(scene.ellipse(0, -0.12 + 0.5 * length, width + thickness, 0.98 + 0.45 * length), hair * 0.85)
    scene.paint(scene.ellipse(0, 1.95, scene.uniform(1.2, 1.6), 0.8), cloth)
    scene.paint(scene.ellipse(0, 1.05, 0.36, 0.5), skin * 0.8)
    for side in (-1, 1):
        scene.paint(scene.ellipse(side * width, 0.02, 0.12, 0.2), skin * 0.88)
    head = scene.ellipse(0, 0, width, scene.uniform(0.96, 1.08))
    shade = scene.relief(head) * (1 + 0.03 * head * scene.texture(1.5))
    scene.paint(head, skin)
    _features(scene, skin, hair, shift)
    fringe = -0.5 + scene.uniform(-0.18, 0.12) + scene.uniform(-0.3, 0.3) * scene.x + scene.uniform(0, 0.5) * scene.x**2
    cap = scene.ellipse(0, -0.12, width + thickness, 0.98) * scene.half_plane(fringe - scene.y)
    scene.paint(cap, hair[:, :, None, None] * (1 + 0.12 * scene.texture(1.0))[:, None])
    scene.canvas *= shade[:, None]


def _features(scene: Scene, skin: Colour, hair: Colour, shift: float) -> None:
    """Brows, eyes, nose, mouth and, on some, glasses or a beard."""

    def moved() -> Field:
        size = scene.uniform(0.75, 1.25) * shift
        return size * np.where(scene.rng.random((scene.count, 1, 1)) < 0.5, -1, 1).astype(np.float32)

    yaw, apart, eye = scene.yaw, scene.uniform(0.29, 0.37), scene.uniform(0.1, 0.13)
    iris = scene.colours((0.2, 0.12, 0.08), (0.3, 0.4, 0.55), (0.3, 0.36, 0.22))
    bearded = (scene.rng.random((scene.count, 1, 1)) < 0.2) * scene.uniform(0.2, 0.8)
    scene.paint(scene.ellipse(yaw * 0.6, 0.78, 0.5, 0.42) * bearded, hair)
    height = scene.uniform(-0.14, -0.06)
    for side in (-1, 1):
        x, y = side * apart + yaw + moved() * 0.4, height + moved()
        scene.paint(scene.ellipse(x, y, eye * 1.35, eye * 0.95) * 0.35, skin * 0.55)
        scene.paint(scene.ellipse(x, y, eye, eye * 0.58), scene.colours((0.93, 0.92, 0.9), spread=0.02))
        look = x + scene.uniform(-0.02, 0.02)
        scene.paint(scene.ellipse(look, y, eye * 0.52, eye * 0.55), iris)
        scene.paint(scene.ellipse(look, y, eye * 0.24, eye * 0.26), iris * 0.2)
        scene.paint(scene.ellipse(x, y - scene.uniform(0.15, 0.21), eye * 1.5, 0.045) * 0.8, hair * 0.7)
    tip, nose = yaw * 1.5 + moved() * 0.6, scene.uniform(0.2, 0.28) + moved() * 0.5
    scene.paint(scene.ellipse(tip * 0.8, nose - 0.16, 0.07, 0.24) * 0.3, np.minimum(skin * 1.15, 1))
    scene.paint(scene.ellipse(tip, nose, scene.uniform(0.11, 0.15), 0.06) * 0.55, skin * 0.62)
    _mouth(scene, yaw + moved() * 0.7, scene.uniform(0.5, 0.58) + moved() * 0.6, skin)
    worn = (scene.rng.random((scene.count, 1, 1)) < 0.15) * 0.8
    for side in (-1, 1):
        rim = scene.ellipse(side * apart + yaw, height, 0.25, 0.2) - scene.ellipse(
            side * apart + yaw, height, 0.2, 0.15
        )
        scene.paint(rim.clip(0, 1) * worn, iris * 0.4)


def _mouth(scene: Scene, x: Field, y: Field, skin: Colour) -> None:
    """Lips that curve, on some parted over teeth."""
    lips = (skin * np.asarray([0.85, 0.5, 0.5], np.float32)).clip(0, 1)
    wide, curve = scene.uniform(0.2, 0.32), scene.uniform(-0.2, 0.9)
    bent = y - curve * ((scene.x - x) ** 2 - 0.03)
    scene.paint(scene.ellipse(x, bent, wide, scene.uniform(0.06, 0.1)), lips)
    parted = (scene.rng.random((scene.count, 1, 1)) < 0.4) * 0.9
    scene.paint(scene.ellipse(x, bent, wide * 0.75, 0.045) * parted, scene.colours((0.93, 0.9, 0.86), spread=0.02))


def draw_cartoon(scene: Scene) -> None:
    """A drawn face: flat colours, dark outlines, large eyes, loud hair."""
    ink = scene.colours((0.1, 0.08, 0.12), spread=0.02)
    skin = scene.colours((1.0, 0.88, 0.8), (0.96, 0.8, 0.7), spread=0.02)
    hair = scene.colours((0.9, 0.4, 0.6), (0.3, 0.5, 0.9), (0.95, 0.85, 0.4), (0.5, 0.3, 0.6), (0.3, 0.7, 0.5))
    scene.paint(np.ones_like(scene.x), scene.colours((0.95, 0.95, 0.97), (0.7, 0.85, 0.95), (0.95, 0.8, 0.85)))
    scene.paint(scene.ellipse(0, 0.15, 1.12, 1.3), ink)
    scene.paint(scene.ellipse(0, 0.15, 1.07, 1.25), hair)
    scene.paint(scene.ellipse(0, 0.1, 0.8, 0.9), ink)
    scene.paint(scene.ellipse(0, 0.1, 0.76, 0.86), skin)
    iris, tall = scene.colours((0.2, 0.5, 0.8), (0.6, 0.2, 0.3), (0.3, 0.6, 0.3)), scene.uniform(0.26, 0.34)
    for side in (-1, 1):
        x = side * 0.36 + scene.yaw
        for size, colour in ((1.0, ink), (0.85, iris), (0.45, ink)):
            scene.paint(scene.ellipse(x, 0.12, 0.19 * size, tall * size), colour)
        scene.paint(scene.ellipse(x - 0.06, 0.0, 0.06, 0.08), np.ones_like(ink))
    scene.paint(scene.ellipse(scene.yaw, 0.66, scene.uniform(0.06, 0.14), 0.035), ink)
    tips = scene.uniform(3, 5)
    fringe = -0.3 + scene.uniform(-0.1, 0.1) + 0.14 * np.abs((scene.x * tips) % 2 - 1)
    scene.paint(scene.ellipse(0, 0.05, 1.0, 1.05) * scene.half_plane(fringe - scene.y), hair)


def draw_cat(scene: Scene) -> None:
    """A cat's face: pointed ears, striped fur, slit pupils, muzzle and whiskers."""
    fur = scene.colours((0.55, 0.42, 0.28), (0.3, 0.28, 0.27), (0.85, 0.6, 0.35), (0.8, 0.78, 0.75), (0.12, 0.11, 0.11))
    pale = np.minimum(fur * 0.5 + 0.5, 1)
    scene.background()
    for side in (-1, 1):
        x, y = (scene.x * side - 0.58) / 0.36, scene.y + 1.25
        ear = scene.half_plane(y * 0.75 - np.abs(x)) * scene.half_plane(0.8 - y)
        scene.paint(ear, fur * 0.8)
        scene.paint(scene.half_plane(y * 0.75 - 0.25 - np.abs(x)) * scene.half_plane(0.7 - y), pale * 0.85)
    head = scene.ellipse(0, 0.1, 0.95, 0.85)
    stripes = 1 + 0.25 * head * np.sin(scene.x * scene.uniform(9, 14) + 2 * scene.texture(4)) * scene.uniform(0, 1)
    shade = scene.relief(head) * (1 + 0.1 * head * scene.texture(0.7)) * stripes
    scene.paint(head, fur)
    scene.paint(scene.ellipse(scene.yaw, 0.5, 0.42, 0.32), pale)
    iris = scene.colours((0.8, 0.7, 0.2), (0.4, 0.65, 0.3), (0.4, 0.6, 0.8))
    scene.canvas *= shade[:, None]
    for side in (-1, 1):
        x = side * 0.42 + scene.yaw
        scene.paint(scene.ellipse(x, -0.02, 0.2, 0.15), iris)
        scene.paint(scene.ellipse(x, -0.02, scene.uniform(0.03, 0.09), 0.14), iris * 0.1)
        for whisker in (-0.1, 0.05, 0.2):
            line = np.abs(scene.y - 0.5 - whisker * (scene.x * side - 0.2)) < 0.018
            scene.paint(line * (scene.x * side > 0.3) * 0.6, np.ones_like(fur) * 0.95)
    scene.paint(scene.ellipse(scene.yaw, 0.36, 0.1, 0.07), fur * 0.3 + np.asarray([0.35, 0.15, 0.17], np.float32))
    scene.paint(scene.ellipse(scene.yaw, 0.55, 0.02, 0.12) * 0.7, fur * 0.2)
