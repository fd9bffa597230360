"""From an app and its deployment to the resources that it needs. Pure: nothing is asked of anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.brokers.cloudtasks.api.names import queue_id
from headway.brokers.cloudtasks.location import parse
from headway.clock import duration_ms
from headway.errors import ConfigError
from headway.gcp.crontab import crontab
from headway.gcp.declarations import Queue, Secret
from headway.gcp.fires import fire_message
from headway.gcp.naming import schedule_id
from headway.gcp.place import Place
from headway.gcp.resources import (
    CloudQueue,
    CloudSchedule,
    CloudService,
    CloudSubscription,
    CloudTopic,
    EnvValue,
    Resource,
)
from headway.gcp.rights import bindings
from headway.gcp.rights import needs_number as rights_need_number
from headway.job import SHADOW_QUEUE
from headway.settingtext import first, several

if TYPE_CHECKING:
    from headway.app.app import Headway
    from headway.gcp.declarations import Deployment, Service, Subscription, Topic

_CONCURRENCY: Final = 1000  # of a queue behind which no service is declared: Google's default
_CONCURRENCY_MAX: Final = 5000


def place_of(app: Headway, deployment: Deployment) -> Place:
    """Return where the app is deployed; ConfigError when its URL and the deployment do not agree."""
    location = parse(_url_of(app))
    for name, given, of_url in (
        ("project", deployment.project, location.project),
        ("location", deployment.location, location.place),
    ):
        if given and given != of_url:
            msg = (
                f"the deployment's {name} is {given!r}, that of the app's url {of_url!r}; change one of them"
            )
            raise ConfigError(msg)
    return Place(location.project, location.place, location.emulator)


def _url_of(app: Headway) -> str:
    """Return the URL of the app's carrier at Google; ConfigError when there is none, or more than one."""
    pushing = [url for url in app.settings.carrier_urls.values() if url.lower().startswith("cloudtasks:")]
    if len(pushing) == 1:
        return pushing[0]
    if pushing:
        msg = f"the app has {len(pushing)} carriers at Google, and a deployment has one: leave one in the settings"
        raise ConfigError(msg)
    msg = (
        "the app's url, or that of one of its carriers, must be cloudtasks://PROJECT/LOCATION (HEADWAY_URL): only "
        "that carrier is on Google Cloud"
    )
    raise ConfigError(msg)


def namespace_of(app: Headway) -> str:
    """Return the name under which the app's resources are known."""
    return app.settings.namespace or app.name


def needs_number(app: Headway, deployment: Deployment) -> bool:
    """Tell whether the project's number is needed: the URLs of services have it in them, and some accounts' names."""
    settings = app.settings
    return rights_need_number(deployment, several(settings.service_account)) or any(
        queue not in settings.targets and not settings.target for queue in _served(app, deployment)
    )


def desired(app: Headway, deployment: Deployment, number: str | None = None) -> list[Resource]:
    """Return what has to be there. `number` is the project's, see `needs_number`.

    ConfigError or DeclarationError name the task, queue or schedule that cannot be served so.
    """
    place = place_of(app, deployment)
    _check_queues(app, deployment)
    _check_timeouts(app, deployment)
    targets = _targets(app, deployment, place, number)
    return [
        *map(_topic, deployment.topics),
        *map(_subscription, deployment.subscriptions),
        *(_service(app, deployment, service, place, targets) for service in deployment.services),
        *bindings(deployment, place, several(app.settings.service_account), number),
        *_queues(app, deployment),
        *_schedules(app, targets),
    ]


def queue_ids(app: Headway, queue: str) -> list[str]:
    """Return the Cloud Tasks queues of a queue: one, and one for each band of priorities."""
    bands = range(len(app.settings.priority_bands) + 1)
    return [queue_id(namespace_of(app), queue, band) for band in bands]


def _queue_names(app: Headway, deployment: Deployment) -> list[str]:
    # A route may copy jobs to the carrier at any time, and Cloud Tasks makes no queue by itself.
    copies = [SHADOW_QUEUE] if _copies(app) else []
    return sorted({*app.queues, *deployment.queues, *copies})


def _copies(app: Headway) -> bool:
    """Tell whether there is another carrier whose jobs may be copied to the one at Google."""
    return len(app.settings.carriers) > 1


def _served(app: Headway, deployment: Deployment) -> dict[str, Service]:
    """Return which service serves each queue: copies of jobs the first one, unless they are named in another."""
    services = {queue: service for service in deployment.services for queue in service.queues}
    if _copies(app) and deployment.services:
        services.setdefault(SHADOW_QUEUE, deployment.services[0])
    return services


def _check_queues(app: Headway, deployment: Deployment) -> None:
    known = set(_queue_names(app, deployment))
    served = _served(app, deployment).keys()
    for service in deployment.services:
        for queue in service.queues:
            if queue not in known:
                msg = (
                    f"service {service.name!r} serves queue {queue!r}, which no task has; "
                    f"the queues are {', '.join(sorted(known)) or 'none'}"
                )
                raise ConfigError(msg)
    if deployment.services and not app.settings.target:
        for queue in sorted(known - served - app.settings.targets.keys()):
            msg = f"queue {queue!r} is served by no service; name it in one, or give its receiver's URL in `targets`"
            raise ConfigError(msg)
    if deployment.services and not (app.settings.service_account or app.settings.push_secret):
        msg = (
            "nobody may call the services: set `service_account` (HEADWAY_SERVICE_ACCOUNT) to the account whose "
            "identity Cloud Tasks and Cloud Scheduler prove"
        )
        raise ConfigError(msg)


def _check_timeouts(app: Headway, deployment: Deployment) -> None:
    by_queue = _served(app, deployment)
    for task in app.tasks.values():
        options = task.options_declared
        service = by_queue.get(options.queue)
        if service is not None and options.timeout_ms > service.timeout_ms:
            msg = (
                f"task {task.name!r} may run {options.timeout_ms / 1000:g} s, but service {service.name!r}, which "
                f"serves queue {options.queue!r}, ends a request after {service.timeout_ms / 1000:g} s; change one"
            )
            raise ConfigError(msg)


def _targets(app: Headway, deployment: Deployment, place: Place, number: str | None) -> dict[str, str]:
    """Return the URL of the receiver of each queue that has one; the settings have the first say."""
    settings = app.settings
    targets: dict[str, str] = {}
    by_queue = _served(app, deployment)
    for queue in _queue_names(app, deployment):
        given = settings.targets.get(queue, settings.target)
        service = by_queue.get(queue)
        if given:
            targets[queue] = given
        elif service is not None and number is not None:
            # The form that Cloud Run gives to each service beside the one with a hash.
            targets[queue] = f"https://{service.name}-{number}.{place.location}.run.app"
    return targets


def _topic(topic: Topic) -> CloudTopic:
    retention = None if topic.retention is None else duration_ms(topic.retention) // 1000
    return CloudTopic(name=topic.name, retention_s=retention)


def _subscription(declared: Subscription) -> CloudSubscription:
    return CloudSubscription(
        name=declared.name,
        topic=declared.topic,
        push=declared.push,
        service_account=declared.service_account if declared.push else "",
        ack_deadline_s=duration_ms(declared.ack_deadline) // 1000,
        retention_s=duration_ms(declared.retention) // 1000,
        filter=declared.filter,
        ordered=declared.ordered,
        dead_letter=declared.dead_letter,
        max_deliveries=declared.max_deliveries if declared.dead_letter else 0,
    )


def _service(
    app: Headway, deployment: Deployment, service: Service, place: Place, targets: dict[str, str]
) -> CloudService:
    account = service.service_account or first(app.settings.service_account)
    # What the receivers need to enqueue: the jobs that follow, and those that handlers make. The carriers of an app
    # that has several are said in its code or by `env`: other carriers' URLs hold secrets.
    known = {} if _copies(app) else {"HEADWAY_URL": f"cloudtasks://{place.project}/{place.location}"}
    if app.settings.service_account:
        known["HEADWAY_SERVICE_ACCOUNT"] = app.settings.service_account
    by_name = {queue: url for queue, url in targets.items() if "=" not in queue and "," not in url}
    if deployment.services and by_name:
        known["HEADWAY_TARGETS"] = ",".join(f"{queue}={url}" for queue, url in sorted(by_name.items()))
    env: dict[str, EnvValue] = {name: EnvValue(value) for name, value in known.items()}
    for name, value in service.env.items():
        if isinstance(value, Secret):
            env[name] = EnvValue(secret=value.name, version=value.version)
        else:
            env[name] = EnvValue(value)
    return CloudService(
        name=service.name,
        image=service.image,
        command=tuple(service.command),
        cpu=str(service.cpu),
        memory=service.memory,
        timeout_s=service.timeout_ms // 1000,
        min_instances=service.min_instances,
        max_instances=service.max_instances,
        concurrency=service.concurrency,
        service_account=account,
        env=env,
        ingress=service.ingress,
    )


def _queues(app: Headway, deployment: Deployment) -> list[CloudQueue]:
    capacity = {
        queue: min(service.max_instances * service.concurrency, _CONCURRENCY_MAX)
        for queue, service in _served(app, deployment).items()
    }
    found: list[CloudQueue] = []
    for name in _queue_names(app, deployment):
        declared = deployment.queues.get(name, Queue())
        concurrency = declared.concurrency or capacity.get(name, _CONCURRENCY)
        found += [
            CloudQueue(name=identifier, rate=float(declared.rate), concurrency=concurrency)
            for identifier in queue_ids(app, name)
        ]
    return found


def _schedules(app: Headway, targets: dict[str, str]) -> list[CloudSchedule]:
    settings = app.settings
    namespace = namespace_of(app)
    caller = first(settings.service_account)
    found: list[CloudSchedule] = []
    for name, scheduled in app.schedules.items():
        queue = scheduled.task.options_declared.queue
        url = targets.get(queue)
        if url is None:
            msg = (
                f"schedule {name!r}: no receiver of queue {queue!r} is known; declare a service for it, or set "
                "`target` (HEADWAY_TARGET)"
            )
            raise ConfigError(msg)
        cron, timezone = crontab(name, scheduled.schedule)
        message = fire_message(namespace, name, first(settings.push_secret))
        found.append(
            CloudSchedule(
                name=schedule_id(namespace, name),
                schedule=name,
                cron=cron,
                timezone=timezone,
                url=url,
                body=message.body,
                headers=message.headers,
                service_account=caller,
                audience=(settings.audience or url) if caller else "",
            )
        )
    return found
