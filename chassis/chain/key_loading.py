"""The key that a service's settings name."""

from pathlib import Path

from chassis.chain.errors import KeyRefused
from chassis.chain.keys import Key, key_from_file, key_from_hex, key_from_keystore
from chassis.chain.remote_keys import KmsKey, RpcKey
from chassis.chain.rpc import JsonRpc
from chassis.http import HttpClient
from chassis.signer_settings import SignerSettings


def load_key(settings: SignerSettings, prefix: str, http: HttpClient) -> Key | None:
    """The key that the settings name; None when they name none. `prefix` is that of the settings' names.

    Reads a file or decrypts a keystore, which takes seconds: to be called in a thread. Asks nobody for a remote key.
    Raises: KeyRefused.
    """
    secret = settings.signer_key.get_secret_value().strip()
    ways = {
        "KEY": secret,
        "KEY_FILE": settings.signer_key_file,
        "KEYSTORE": settings.signer_keystore,
        "KMS_KEY_ID": settings.signer_kms_key_id,
        "RPC_URL": settings.signer_rpc_url,
    }
    named = [f"{prefix}SIGNER_{way}" for way, value in ways.items() if value]
    if len(named) > 1:
        raise KeyRefused(f"{' and '.join(named)} are set: a signer has one key")
    if secret:
        return key_from_hex(secret)
    if settings.signer_key_file:
        return key_from_file(Path(settings.signer_key_file), setting=named[0])
    if settings.signer_keystore:
        return key_from_keystore(Path(settings.signer_keystore), settings.signer_keystore_password.get_secret_value())
    return _remote(settings, http)


def _remote(settings: SignerSettings, http: HttpClient) -> Key | None:
    address = settings.signer_address
    if settings.signer_kms_key_id:
        region, endpoint = settings.signer_kms_region, settings.signer_kms_endpoint
        return KmsKey(http, settings.signer_kms_key_id, address=address, region=region, endpoint=endpoint)
    if settings.signer_rpc_url:
        return RpcKey(JsonRpc([settings.signer_rpc_url], http=http), settings.signer_rpc_method, address=address)
    return None
