"""What can be asked of an app and done to it, as plain functions: the REST API and the dashboard are made of these.

Each call has the `Caller` who makes it: what lies outside their scope is not there for them, and every change is
written to the audit log here. Whether the caller's role allows the call is judged before, by the table of routes.
No part of this knows HTTP. What cannot be done raises a ServiceError, or another HeadwayError.
"""
