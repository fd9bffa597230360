"""An app's infrastructure on Google Cloud, declared beside its tasks; `headway gcp` makes it so.

```python
from headway.gcp import Deployment, Queue, Service

deployment = Deployment(
    services=[Service("worker", image="europe-docker.pkg.dev/shop/app/worker", queues=["email"])],
    queues={"email": Queue(rate=50)},
)
```
"""

from headway.gcp.declarations import Deployment, Queue, Secret, Service, Subscription, Topic

__all__ = ["Deployment", "Queue", "Secret", "Service", "Subscription", "Topic"]
