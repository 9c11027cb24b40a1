"""The AWS STS front: who a client is, and temporary credentials for it.

AWS STS speaks AWS's older *query* protocol: a form goes in, XML comes out::

    POST / HTTP/1.1
    Content-Type: application/x-www-form-urlencoded; charset=utf-8
    Authorization: AWS4-HMAC-SHA256 Credential=.../sts/aws4_request, ...

    Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A...&Tags.member.1.Key=team&Tags.member.1.Value=a

It shares the data plane's address with AWS KMS, which never sends forms (`front.speaks`). A request passes these
modules in turn:

* `form` takes the form apart and puts its parameters into the structures of `model`, which is generated from AWS's
  published model like that of AWS KMS, and checked by the same `keystead.fronts.aws.validate`;
* `operations` has a row for each operation: how its input becomes a command and its result an answer;
* `answers` writes XML, and `errors` says what AWS STS calls a failure;
* `front` puts them together, after `keystead.fronts.aws.sigv4` has proved who has signed.

One operation is not signed: with AssumeRoleWithWebIdentity a token of an identity provider says who is asking.
"""
