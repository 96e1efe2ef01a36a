"""`benchmarks/gpu.py` runs, on the processor and with tiny networks, so that it works when there is a GPU to be had."""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu.py"


def test_it_prints_speeds_beside_the_arithmetic_limit():
    run = [sys.executable, str(SCRIPT), "--device", "cpu", "--tiny", "--tflops", "1"]
    told = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "no GPU: these are figures of a CPU" in told
    assert re.findall(r"prepared and encoded +[\d.]+ (frames|s of sound)/s", told) == ["frames", "s of sound"]
    assert len(re.findall(r"arithmetic limit +[\d.]+ .*/s at 1 TFLOPS: [\d.]+% of it", told)) == 2
    assert [float(cosine) for cosine in re.findall(r"cosine with float32 +([\d.]+)", told)] == [1.0, 1.0]
