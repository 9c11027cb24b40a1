"""The AWS KMS front: what boto3, the AWS CLI and Terraform speak.

One request is one ``POST /`` with an ``X-Amz-Target`` of ``TrentService.Operation`` and a JSON body, signed
with Signature Version 4. It passes these modules in turn:

* `sigv4` proves who signed it (`sign` is the other side, for our own clients);
* `model` says what each operation takes and answers, generated from AWS's published model with the
  constraint types of `shapes`;
* `validate` parses the body and holds it against the model, in AWS's words;
* `names` reads key identifiers and ARNs;
* `errors` writes a failure the way AWS does.
"""
