"""The settings that name a signer's key, the same for every service that signs."""

from pydantic import BaseModel, SecretStr


class SignerSettings(BaseModel):
    """Where the signer's key is. At most one of these may be named; without one the process signs nothing."""

    signer_key: SecretStr = SecretStr("")
    """64 hexadecimal digits: development only."""

    signer_key_file: str = ""
    """A file that holds nothing but such a key: development, too."""

    signer_keystore: str = ""
    """An encrypted keystore file (Web3 Secret Storage, version 3)."""

    signer_keystore_password: SecretStr = SecretStr("")

    signer_kms_key_id: str = ""
    """Id, ARN or alias of a key of AWS KMS (ECC_SECG_P256K1)."""

    signer_kms_region: str = ""
    signer_kms_endpoint: str = ""
    """Only where it is not the region's own."""

    signer_rpc_url: str = ""
    """A JSON-RPC signer."""

    signer_rpc_method: str = "sign_digest"
    """Its method: (address, 32 bytes in hex) → r ‖ s in hex, with or without a recovery byte."""

    signer_address: str = ""
    """For KMS and JSON-RPC: the address that the key signs for. Every signature is held against it."""
