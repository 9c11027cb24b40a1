"""What carries Keystead's own records to other people's systems.

A SIEM, a log collector or an event bus does not read our audit log: it wants its own form of event, over its own
transport. The first half is `renderings`: one audit entry in the words of CloudTrail, OCSF, ECS or CEF. What is here
only reads; the log stays the one record of what happened.
"""
