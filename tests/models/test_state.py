"""When trainer state is saved, with a clock that is set by hand."""

from types import SimpleNamespace

from workflow.scripts.models import state as module
from workflow.scripts.models.state import COMPLETE, SaveByTime, last_state

STEPS_PER_EPOCH = 5


class Training:
    """Calls back as transformers' trainer does; each step and each save takes some seconds."""

    def __init__(self, monkeypatch, folder, step_s, save_s, every_s=600, epochs=4):
        self.now, self.saved = 0.0, []
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)
        args = SimpleNamespace(output_dir=str(folder), process_index=0, device="cpu")
        state = SimpleNamespace(global_step=0, max_steps=STEPS_PER_EPOCH * epochs)
        control = SimpleNamespace(should_save=False)
        keep = SaveByTime(STEPS_PER_EPOCH, every_s)

        def save_if_told():
            if control.should_save:
                control.should_save = False
                (folder / f"checkpoint-{state.global_step}").mkdir(parents=True)
                self.now += save_s
                keep.on_save(args, state, control)
                self.saved.append(state.global_step)

        keep.on_train_begin(args, state, control)
        while state.global_step < state.max_steps:
            self.now += step_s
            state.global_step += 1
            keep.on_step_end(args, state, control)
            save_if_told()
            if state.global_step % STEPS_PER_EPOCH == 0:
                keep.on_epoch_end(args, state, control)
                save_if_told()
        self.saving_share = len(self.saved) * save_s / self.now


def test_a_short_training_saves_nothing(monkeypatch, tmp_path):
    """DirectRefusal on 32B parameters: five epochs of 78 s."""
    assert Training(monkeypatch, tmp_path, step_s=78 / STEPS_PER_EPOCH, save_s=260).saved == []


def test_state_is_saved_every_ten_minutes_and_only_the_newest_stays(monkeypatch, tmp_path):
    training = Training(monkeypatch, tmp_path, step_s=100, save_s=10)
    assert training.saved == [6, 12, 18]
    assert last_state(tmp_path).name == "checkpoint-18"
    assert len(list(tmp_path.iterdir())) == 1


def test_saving_takes_a_tenth_of_the_time_at_most_after_the_first_time(monkeypatch, tmp_path):
    training = Training(monkeypatch, tmp_path, step_s=100, save_s=260, epochs=40)
    assert training.saved[:3] == [6, 32, 58]  # 2,600 s apart
    assert training.saving_share < 0.1


def test_nothing_is_saved_after_the_last_step(monkeypatch, tmp_path):
    training = Training(monkeypatch, tmp_path, step_s=600, save_s=1, epochs=1)
    assert training.saved == [1, 2, 3, 4]


def test_a_state_without_its_last_file_does_not_count(tmp_path):
    """Every process had written its part of step 8 alone."""
    for step in (8, 12, 100):
        (tmp_path / f"checkpoint-{step}").mkdir()
    (tmp_path / "checkpoint-8" / COMPLETE).touch()
    assert last_state(tmp_path).name == "checkpoint-8"
    assert last_state(tmp_path / "none") is None


def test_without_save_state_nothing_is_saved(monkeypatch, tmp_path):
    assert Training(monkeypatch, tmp_path, 600, 1, every_s=None).saved == []
