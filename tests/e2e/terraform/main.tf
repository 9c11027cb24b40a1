# What people declare with Terraform's AWS provider, by every resource and data source that it has for KMS
# and that needs nothing but KMS and STS, which tells it whose account it is in.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" { type = string }
variable "grantee" { type = string }

provider "aws" {
  region                  = "eu-central-1"
  skip_metadata_api_check = true
  skip_region_validation  = true
  endpoints {
    kms = var.endpoint
    sts = var.endpoint
  }
}

provider "aws" {
  alias                   = "west"
  region                  = "eu-west-1"
  skip_metadata_api_check = true
  skip_region_validation  = true
  endpoints {
    kms = var.endpoint
    sts = var.endpoint
  }
}

resource "aws_kms_key" "app" {
  description             = "application data"
  deletion_window_in_days = 7
  enable_key_rotation     = true
  rotation_period_in_days = 180
  tags                    = { owner = "platform", tier = "gold" }
}

resource "aws_kms_alias" "app" {
  name          = "alias/app"
  target_key_id = aws_kms_key.app.key_id
}

resource "aws_kms_grant" "app" {
  name              = "reader"
  key_id            = aws_kms_key.app.key_id
  grantee_principal = var.grantee
  operations        = ["Decrypt", "DescribeKey"]
  constraints {
    encryption_context_subset = { tenant = "acme" }
  }
}

resource "aws_kms_key" "signing" {
  description              = "signatures"
  customer_master_key_spec = "ECC_NIST_P256"
  key_usage                = "SIGN_VERIFY"
  deletion_window_in_days  = 7
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "Everybody here", Effect = "Allow", Principal = "*", Action = "kms:*", Resource = "*" },
    ]
  })
}

resource "aws_kms_key" "codes" {
  customer_master_key_spec = "HMAC_256"
  key_usage                = "GENERATE_VERIFY_MAC"
  deletion_window_in_days  = 7
}

resource "aws_kms_key" "global" {
  description             = "in two Regions"
  multi_region            = true
  deletion_window_in_days = 7
}

resource "aws_kms_replica_key" "global" {
  provider                = aws.west
  description             = "the replica"
  primary_key_arn         = aws_kms_key.global.arn
  deletion_window_in_days = 7
  tags                    = { replica = "yes" }
}

resource "aws_kms_external_key" "own" {
  description             = "brought along"
  deletion_window_in_days = 7
  key_material_base64     = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
  enabled                 = true
}

resource "aws_kms_key_policy" "codes" {
  key_id = aws_kms_key.codes.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "This account", Effect = "Allow", Principal = "*", Action = "kms:*", Resource = "*" },
    ]
  })
}

resource "aws_kms_external_key" "far" {
  description             = "brought along, in two Regions"
  multi_region            = true
  deletion_window_in_days = 7
  key_material_base64     = "Hh0cGxoZGBcWFRQTEhEQDw4NDAsKCQgHBgUEAwIBAAA="
  enabled                 = true
}

resource "aws_kms_replica_external_key" "far" {
  provider                = aws.west
  description             = "the same material"
  primary_key_arn         = aws_kms_external_key.far.arn
  deletion_window_in_days = 7
  key_material_base64     = "Hh0cGxoZGBcWFRQTEhEQDw4NDAsKCQgHBgUEAwIBAAA="
  enabled                 = true
}

resource "aws_kms_ciphertext" "password" {
  key_id    = aws_kms_key.app.key_id
  plaintext = "correct horse battery staple"
  context   = { tenant = "acme" }
}

data "aws_kms_secrets" "password" {
  secret {
    name    = "password"
    payload = aws_kms_ciphertext.password.ciphertext_blob
    context = { tenant = "acme" }
  }
}

data "aws_kms_ciphertext" "word" {
  key_id    = aws_kms_key.app.key_id
  plaintext = "a word"
}

data "aws_kms_key" "app" {
  key_id = aws_kms_alias.app.name
}

data "aws_kms_alias" "app" {
  name       = aws_kms_alias.app.name
  depends_on = [aws_kms_alias.app]
}

data "aws_kms_public_key" "signing" {
  key_id = aws_kms_key.signing.key_id
}

output "found" { value = data.aws_kms_key.app.arn == aws_kms_key.app.arn && data.aws_kms_alias.app.target_key_arn == aws_kms_key.app.arn }
output "opened" { value = nonsensitive(data.aws_kms_secrets.password.plaintext["password"]) == "correct horse battery staple" }
output "public_key" { value = data.aws_kms_public_key.signing.public_key_pem }
