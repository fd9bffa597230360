"""Pub/Sub topics and subscriptions; ours bear the label."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport
from google.pubsub_v1.types import (
    DeadLetterPolicy,
    DeleteSubscriptionRequest,
    DeleteTopicRequest,
    ExpirationPolicy,
    ListSubscriptionsRequest,
    ListTopicsRequest,
    PushConfig,
    Subscription,
    Topic,
    UpdateSubscriptionRequest,
    UpdateTopicRequest,
)

from headway.gcp.access import PUBSUB
from headway.gcp.errors import ONCE, ask
from headway.gcp.messages import milliseconds
from headway.gcp.naming import LABEL, label_of
from headway.gcp.resources import CloudSubscription, CloudTopic, Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.gcp.access import Access
    from headway.gcp.messages import Untyped
    from headway.gcp.place import Place

_SUBSCRIPTION_MASK: Final = (
    "push_config",
    "ack_deadline_seconds",
    "message_retention_duration",
    "dead_letter_policy",
)


class Topics:
    """Provider of CloudTopic."""

    def __init__(self, client: Untyped, place: Place, namespace: str) -> None:
        self._client = client
        self._project = f"projects/{place.project}"
        self._label = label_of(namespace)

    @classmethod
    async def connect(cls, access: Access, place: Place, namespace: str) -> Topics:
        """Make the client."""
        transport = PublisherGrpcAsyncIOTransport(channel=await access.channel(PUBSUB))
        return cls(PublisherAsyncClient(transport=transport), place, namespace)

    async def read(self, wanted: Sequence[CloudTopic]) -> list[Seen]:
        """Return the topics with the app's label; no other is needed for it."""
        del wanted
        topics = await ask("list the Pub/Sub topics", self._list)
        return [Seen(_topic(topic)) for topic in topics if topic.labels.get(LABEL) == self._label]

    async def create(self, resource: CloudTopic) -> None:
        """Create."""
        await ask(
            f"create topic {resource.name}",
            lambda: self._client.create_topic(self._message(resource), **ONCE),
        )

    async def update(self, resource: CloudTopic) -> None:
        """Change the retention."""
        mask = {"paths": ["message_retention_duration"]}
        request = UpdateTopicRequest(topic=self._message(resource), update_mask=mask)
        await ask(f"change topic {resource.name}", lambda: self._client.update_topic(request, **ONCE))

    async def delete(self, resource: CloudTopic) -> None:
        """Delete."""
        request = DeleteTopicRequest(topic=f"{self._project}/topics/{resource.name}")
        await ask(f"delete topic {resource.name}", lambda: self._client.delete_topic(request, **ONCE))

    async def _list(self) -> list[Topic]:
        request = ListTopicsRequest(project=self._project, page_size=1000)
        return [topic async for topic in await self._client.list_topics(request, **ONCE)]

    def _message(self, resource: CloudTopic) -> Untyped:
        topic: Untyped = Topic(name=f"{self._project}/topics/{resource.name}", labels={LABEL: self._label})
        if resource.retention_s is not None:
            topic.message_retention_duration = timedelta(seconds=resource.retention_s)
        return topic


class Subscriptions:
    """Provider of CloudSubscription."""

    def __init__(self, client: Untyped, place: Place, namespace: str) -> None:
        self._client = client
        self._project = f"projects/{place.project}"
        self._label = label_of(namespace)

    @classmethod
    async def connect(cls, access: Access, place: Place, namespace: str) -> Subscriptions:
        """Make the client."""
        transport = SubscriberGrpcAsyncIOTransport(channel=await access.channel(PUBSUB))
        return cls(SubscriberAsyncClient(transport=transport), place, namespace)

    async def read(self, wanted: Sequence[CloudSubscription]) -> list[Seen]:
        """Return the subscriptions with the app's label; no other is needed for it."""
        del wanted
        found = await ask("list the Pub/Sub subscriptions", self._list)
        return [Seen(_subscription(one)) for one in found if one.labels.get(LABEL) == self._label]

    async def create(self, resource: CloudSubscription) -> None:
        """Create."""
        message = self._message(resource)
        await ask(
            f"create subscription {resource.name}", lambda: self._client.create_subscription(message, **ONCE)
        )

    async def update(self, resource: CloudSubscription) -> None:
        """Change what can be changed."""
        mask = {"paths": _SUBSCRIPTION_MASK}
        path = f"{self._project}/subscriptions/{resource.name}"
        before = await ask(
            f"look at subscription {resource.name}",
            lambda: self._client.get_subscription(subscription=path, **ONCE),
        )
        request = UpdateSubscriptionRequest(
            subscription=self._message(resource, before.push_config), update_mask=mask
        )
        await ask(
            f"change subscription {resource.name}", lambda: self._client.update_subscription(request, **ONCE)
        )

    async def delete(self, resource: CloudSubscription) -> None:
        """Delete, with the messages in it."""
        request = DeleteSubscriptionRequest(subscription=f"{self._project}/subscriptions/{resource.name}")
        await ask(
            f"delete subscription {resource.name}", lambda: self._client.delete_subscription(request, **ONCE)
        )

    async def _list(self) -> list[Subscription]:
        request = ListSubscriptionsRequest(project=self._project, page_size=1000)
        return [one async for one in await self._client.list_subscriptions(request, **ONCE)]

    def _message(self, resource: CloudSubscription, push: Untyped = None) -> Subscription:
        """Write it; of how it was pushed so far, what is not declared stays."""
        message = Subscription(
            name=f"{self._project}/subscriptions/{resource.name}",
            topic=f"{self._project}/topics/{resource.topic}",
            labels={LABEL: self._label},
            ack_deadline_seconds=resource.ack_deadline_s,
            message_retention_duration=timedelta(seconds=resource.retention_s),
            filter=resource.filter,
            enable_message_ordering=resource.ordered,
            # Without it Google deletes a subscription that nobody read from for 31 days.
            expiration_policy=ExpirationPolicy(),
        )
        if resource.push:
            message.push_config = _pushed(resource, push)
        if resource.dead_letter:
            message.dead_letter_policy = DeadLetterPolicy(
                dead_letter_topic=f"{self._project}/topics/{resource.dead_letter}",
                max_delivery_attempts=resource.max_deliveries,
            )
        return message


def _pushed(resource: CloudSubscription, before: Untyped) -> Untyped:
    push: Untyped = PushConfig() if before is None else PushConfig(before)
    push.push_endpoint = resource.push
    if resource.service_account:
        push.oidc_token.service_account_email = resource.service_account  # its audience stays
    else:
        del push.oidc_token
    return push


def _topic(topic: Untyped) -> CloudTopic:
    retention = milliseconds(topic.message_retention_duration) // 1000
    return CloudTopic(name=topic.name.rpartition("/")[2], retention_s=retention or None)


def _subscription(one: Untyped) -> CloudSubscription:
    return CloudSubscription(
        name=one.name.rpartition("/")[2],
        topic=one.topic.rpartition("/")[2],
        push=one.push_config.push_endpoint,
        service_account=one.push_config.oidc_token.service_account_email,
        ack_deadline_s=one.ack_deadline_seconds,
        retention_s=milliseconds(one.message_retention_duration) // 1000,
        filter=one.filter,
        ordered=one.enable_message_ordering,
        dead_letter=one.dead_letter_policy.dead_letter_topic.rpartition("/")[2],
        max_deliveries=one.dead_letter_policy.max_delivery_attempts,
    )
