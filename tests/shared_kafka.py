"""One Kafka broker for a whole test run, shared by all its processes, started when the first test wants it."""

import shutil
import tempfile
import threading
import time
from pathlib import Path

from chassis.localkafka import KafkaUnusable, LocalKafka


class SharedKafka:
    """The broker's owner: the first process of the run. Workers know its folder, and ask for it by a file in there."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="btrst-test-", dir="/var/tmp"))
        self._ending = threading.Event()
        # The broker ends with the thread that starts it: so that one lives as long as the run.
        self._thread = threading.Thread(target=self._serve, name="kafka", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not (self.folder / "wanted").exists():
            if self._ending.wait(0.1):
                return
        kafka = LocalKafka(self.folder / "kafka", heap_mib=512)
        try:
            kafka.start()
            _tell(self.folder, kafka.bootstrap)
        except KafkaUnusable as error:
            _tell(self.folder, f"! {error}")
        self._ending.wait()
        kafka.kill()

    def remove(self) -> None:
        """End the broker and delete what it holds."""
        self._ending.set()
        self._thread.join(30)
        shutil.rmtree(self.folder, ignore_errors=True)


def _tell(folder: Path, words: str) -> None:
    (folder / "telling").write_text(words)
    (folder / "telling").rename(folder / "told")


def shared_bootstrap(folder: Path, seconds: float = 120.0) -> str:
    """The address of the run's broker, once it serves. Raises: KafkaUnusable, with the reason."""
    (folder / "wanted").touch()
    deadline = time.monotonic() + seconds
    while not (folder / "told").exists():
        if time.monotonic() > deadline:
            raise KafkaUnusable(f"the run's broker did not come up within {seconds:.0f} s")
        time.sleep(0.05)
    told = (folder / "told").read_text()
    if told.startswith("! "):
        raise KafkaUnusable(told[2:])
    return told
