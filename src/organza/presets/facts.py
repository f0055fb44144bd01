"""What lists say of presets beside a line: data, paper, size, cost. Known without importing PyTorch."""

from __future__ import annotations

from typing import NamedTuple


class Facts(NamedTuple):
    """What a list says of a preset.

    Attributes:
        takes: the data. "images, labels": the labels may be left out. "labels", "some labels", "captions", "pairs",
            "two sets", "video pairs": those are needed.
        paper: its number at arXiv, or where else it was published; "" for none.
        size: height and width of its paper's images, or of those that it is for, in pixels.
        gflop: what an image of the training costs at this size, in GFLOP; `tools/costs.py` counts them.
    """

    takes: str
    paper: str
    size: tuple[int, int]
    gflop: float


FACTS: dict[str, Facts] = {
    "stylegan2": Facts("images, labels", "1912.04958", (256, 256), 400),
    "stylegan2-256": Facts("images, labels", "1912.04958", (256, 256), 400),
    "stylegan2-512": Facts("images, labels", "1912.04958", (512, 512), 1600),
    "stylegan2-1024": Facts("images, labels", "1912.04958", (1024, 1024), 2000),
    "stylegan2-cifar": Facts("images, labels", "2006.06676", (32, 32), 99),
    "stylegan2-tiny": Facts("images, labels", "1912.04958", (64, 64), 5.7),
    "stylegan2-demo": Facts("images, labels", "1912.04958", (32, 32), 1.1),
    "stylegan2-a": Facts("images, labels", "1912.04958", (1024, 1024), 1000),
    "stylegan2-b": Facts("images, labels", "1912.04958", (1024, 1024), 960),
    "stylegan2-c": Facts("images, labels", "1912.04958", (1024, 1024), 640),
    "stylegan2-d": Facts("images, labels", "1912.04958", (1024, 1024), 680),
    "stylegan2-e": Facts("images, labels", "1912.04958", (1024, 1024), 610),
    "stylegan2-f": Facts("images, labels", "1912.04958", (1024, 1024), 2000),
    "stylegan3-t": Facts("images, labels", "2106.12423", (1024, 1024), 3700),
    "stylegan3-r": Facts("images, labels", "2106.12423", (1024, 1024), 2900),
    "progan": Facts("images, labels", "1710.10196", (1024, 1024), 1200),
    "msg-progan": Facts("images", "1903.06048", (1024, 1024), 1500),
    "msg-stylegan": Facts("images", "1903.06048", (1024, 1024), 1500),
    "stylegan-a": Facts("images, labels", "1812.04948", (1024, 1024), 990),
    "stylegan-b": Facts("images, labels", "1812.04948", (1024, 1024), 1000),
    "stylegan-c": Facts("images, labels", "1812.04948", (1024, 1024), 1000),
    "stylegan-d": Facts("images, labels", "1812.04948", (1024, 1024), 1000),
    "stylegan-e": Facts("images, labels", "1812.04948", (1024, 1024), 1000),
    "stylegan-f": Facts("images, labels", "1812.04948", (1024, 1024), 1000),
    "lucidrains": Facts("images", "1912.04958", (128, 128), 100),
    "pix2pix": Facts("pairs", "1611.07004", (256, 256), 99),
    "pix2pix-pixel": Facts("pairs", "1611.07004", (256, 256), 57),
    "pix2pix-16": Facts("pairs", "1611.07004", (256, 256), 84),
    "pix2pix-286": Facts("pairs", "1611.07004", (256, 256), 83),
    "cyclegan": Facts("two sets", "1703.10593", (256, 256), 1900),
    "ugatit": Facts("two sets", "1907.10830", (256, 256), 2400),
    "ugatit-light": Facts("two sets", "1907.10830", (256, 256), 2300),
    "photo2cartoon": Facts("two sets", "", (256, 256), 810),
    "photo2cartoon-full": Facts("two sets", "", (256, 256), 810),
    "stargan": Facts("labels", "1711.09020", (128, 128), 62),
    "bicyclegan": Facts("pairs", "1711.11586", (256, 256), 110),
    "cut": Facts("two sets", "2007.15651", (256, 256), 1500),
    "fastcut": Facts("two sets", "2007.15651", (256, 256), 840),
    "dualgan": Facts("two sets", "1704.02510", (256, 256), 160),
    "discogan": Facts("two sets", "1703.05192", (64, 64), 5.2),
    "pix2pixhd": Facts("pairs", "1711.11585", (512, 1024), 1500),
    "vid2vid": Facts("video pairs", "1808.06601", (1024, 2048), 100000),
    "vid2vid-64": Facts("video pairs", "1808.06601", (64, 64), 21),
    "cartoongan": Facts("two sets", "CVPR 2018", (256, 256), 560),
    "animegan": Facts("two sets", "", (256, 256), 440),
    "stackgan": Facts("captions", "1612.03242", (256, 256), 140),
    "stackgan-v2": Facts("captions", "1710.10916", (256, 256), 130),
    "autoencoder": Facts("images", "2003.05991", (64, 64), 0.32),
    "vae": Facts("images", "1312.6114", (64, 64), 0.32),
    "vae-mlp": Facts("images", "1312.6114", (28, 28), 0.012),
    "gan": Facts("images, labels", "1406.2661", (28, 28), 0.014),
    "cgan": Facts("labels", "1411.1784", (28, 28), 0.097),
    "dcgan": Facts("images, labels", "1511.06434", (64, 64), 2.5),
    "dcgan-course": Facts("images, labels", "1511.06434", (32, 32), 0.42),
    "lsgan": Facts("images, labels", "1611.04076", (64, 64), 2.5),
    "wgan": Facts("images, labels", "1701.07875", (64, 64), 1.7),
    "wgan-gp": Facts("images, labels", "1704.00028", (64, 64), 2.9),
    "ebgan": Facts("images", "1609.03126", (64, 64), 3.1),
    "ebgan-pt": Facts("images", "1609.03126", (64, 64), 3.1),
    "began": Facts("images", "1703.10717", (64, 64), 23),
    "lapgan": Facts("images, labels", "1506.05751", (32, 32), 3.1),
    "gman": Facts("images", "1611.01673", (32, 32), 0.94),
    "mad-gan": Facts("images", "1704.02906", (64, 64), 7.3),
    "triple-gan": Facts("some labels", "1703.02291", (32, 32), 0.45),
}
