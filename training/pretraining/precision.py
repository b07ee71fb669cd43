"""Whether a device multiplies bf16."""

import torch


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the hardware does; where it is emulated, it is many times slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported())  # noqa: SLF001 - PyTorch has no public name for it
