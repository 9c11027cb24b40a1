"""The composition root: the one place that names adapters and puts the rooms together.

`keystead.app.installation` makes and opens an installation: which store, custodian and log stand behind the
service's ports. `keystead.app.service` makes it a running service: which processes there are and what each
of them does.
"""
