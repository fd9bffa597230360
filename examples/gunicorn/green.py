"""gunicorn's gevent worker, with threads left real: Headway's blocking calls wait for one."""

from gevent import monkey
from gunicorn.workers.ggevent import GeventWorker


class Worker(GeventWorker):
    """As `--worker-class gevent`, but for threads and queues."""

    def patch(self) -> None:
        """Put greenlets in the place of everything that waits, except threads."""
        monkey.patch_all(thread=False, queue=False)
