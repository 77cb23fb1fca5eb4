"""What a project for a board has beside its core: a Vivado design, a driver for PYNQ, a notebook, a stand-in."""

from squat_deploy.backends.hls.board.files import board_data, board_files, when_empty

__all__ = ["board_data", "board_files", "when_empty"]
