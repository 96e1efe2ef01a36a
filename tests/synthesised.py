"""Sounds that a network trained on real ones knows, made of sines and chance; each (n,) float32 at 16 kHz."""

import numpy as np

from mmvideo.datatypes import SAMPLE_RATE


def _time(seconds):
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def _phase(hertz):
    return 2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE


def busy_line(seconds=5):
    time = _time(seconds)
    return (0.15 * (np.sin(2 * np.pi * 480 * time) + np.sin(2 * np.pi * 620 * time)) * (time % 1 < 0.5)).astype("f4")


def siren(seconds=6):
    phase = _phase(700 + 300 * np.sin(2 * np.pi * 0.35 * _time(seconds)))
    return (0.3 * (np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.3 * np.sin(3 * phase))).astype("f4")


def hiss(seconds=5):
    return (0.1 * np.random.RandomState(7).standard_normal(round(seconds * SAMPLE_RATE))).astype("f4")


def smoke_alarm(seconds=5):
    time = _time(seconds)
    return (0.4 * np.sin(2 * np.pi * 3100 * time) * (time % 1 < 0.5)).astype("f4")


def engine(seconds=6):
    phase = _phase(28 + 6 * np.sin(2 * np.pi * 0.3 * _time(seconds)))
    strokes = sum(np.sin(k * phase + k * k) / k**0.7 for k in range(1, 30))
    return (0.05 * strokes * (1 + 0.3 * np.random.RandomState(7).standard_normal(len(phase)))).astype("f4")


def fireworks(seconds=6):
    chance, length = np.random.RandomState(7), round(seconds * SAMPLE_RATE)
    made = np.zeros(length)
    for at in chance.randint(0, length - 400, 200 * int(seconds)):
        made[at : at + 400] += chance.standard_normal(400) * np.exp(-np.arange(400) / 60) * chance.rand()
    return (0.1 * made).astype("f4")


def organ(seconds=6):
    time, made = _time(seconds), 0.0
    for number, chord in enumerate([(0, 4, 7), (5, 9, 12), (7, 11, 14)]):
        pipes = [261.6 * 2 ** (step / 12) * part for step in chord for part in (1, 2, 3, 4, 6, 8)]
        played = sum(np.sin(2 * np.pi * hertz * time) * 261.6 / hertz for hertz in pipes)
        made = made + played * (time // 2 % 3 == number)
    return (0.06 * made).astype("f4")


def heart(seconds=6):
    def beat(at):
        since = (_time(seconds) - at) % 1
        return np.exp(-25 * since) * np.sin(2 * np.pi * 55 * since) * (since < 0.5)

    return (0.9 * (beat(0) + 0.7 * beat(0.3))).astype("f4")


def barks(seconds=3):
    since = _time(seconds) % 0.5
    voice = sum(np.sin(2 * np.pi * 450 * k * since * (1 - 0.3 * since)) / k for k in range(1, 12))
    return (0.4 * voice * np.exp(-12 * since)).astype("f4")


def silence(seconds=2):
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)
