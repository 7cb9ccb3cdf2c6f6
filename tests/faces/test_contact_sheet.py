"""Contact sheets show heads at moments of videos."""

from __future__ import annotations

import cv2
import numpy as np
from media_inputs import write_clip

from headgen.faces.contact_sheet import GAP, contact_sheet


def test_rows_and_columns_show_heads_and_videos_in_step(tmp_path, astronaut, tracker):
    clip = write_clip(tmp_path / "clip.mp4", 9, size=(128, 96))
    short = write_clip(tmp_path / "short.mp4", 3, size=(128, 96))
    sheet = contact_sheet([np.ascontiguousarray(astronaut), clip, short], moments=4, cell=96)
    step = 96 + GAP
    assert sheet.shape == (3 * step - GAP, 4 * step - GAP, 3)
    head = np.ascontiguousarray(sheet[:96, :96])
    found = tracker.track(head, still=True)
    assert found is not None
    assert found.eye_distance > 20, "the head fills the cell"
    cells = [[sheet[r * step : r * step + 96, c * step : c * step + 96] for c in range(4)] for r in range(3)]
    assert all(np.array_equal(cells[0][0], cell) for cell in cells[0])
    grey = [int(cell[60, 72, 0]) for cell in cells[1]]
    assert grey == sorted(grey), "time goes to the right"
    assert grey[-1] > grey[0]
    assert np.array_equal(cells[2][-1], cells[2][-2]), "what ends earlier stays as it was"


def test_the_face_of_a_row_can_be_chosen(astronaut):
    pair = np.full((256, 512, 3), 128, np.uint8)
    pair[:, :256] = astronaut[0:256, 96:352]
    pair[60:252, 300:492] = cv2.resize(astronaut[0:256, 96:352], (192, 192), interpolation=cv2.INTER_AREA)
    pair[60:252, 300:492, 0] //= 2
    first, second = (contact_sheet([pair], faces=[face], moments=1, cell=96) for face in (1, 2))
    assert np.array_equal(first, contact_sheet([pair], moments=1, cell=96))
    assert second[30:60, 40:60, 0].mean() < 0.7 * first[30:60, 40:60, 0].mean(), "the one with little red"
