"""Identifiers: file names, paths, addresses, numbers and dates, which stand where a prompt is looked for."""

import json

import regex

_ADDRESS = regex.compile(r"(?:(?:\w[\w+.-]*://|www\.)\S+\s*)+", regex.IGNORECASE)
# "/imagine a fox" is a command and no path; "cat/dog" is a phrase.
_PATH = regex.compile(r"(?:~|\.{1,2})/.*|/[^\s/]+/.*|[a-z]:[\\/].*|\\\\\w.*", regex.IGNORECASE)
_FILE = regex.compile(
    r"[!-+\--~]*\w\.[a-z]\w{1,8}|.*\S\.(?:png|jpe?g|webp|gif|bmp|tiff?|avif|heic|svg|mp4|webm|mov|safetensors|ckpt)",
    regex.IGNORECASE,
)
_TOKEN = regex.compile(r"[!-+\--~]+")  # ASCII without blanks and commas: `a,b` are two tags
_CODE = regex.compile(r".*\d.*|[^\s/]+(?:/[^\s/]+){2,}|\w+@\w.*")
_DATE = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|"
    "dec(?:ember)?|(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?|[ap]m|utc|gmt"
)
_NUMBER = rf"[\W_]*(?:\d[\d.,:/%+-]*(?:st|nd|rd|th|[ap]m|t[\d:.]+z?|z)?|x|{_DATE})?[\W_]*"
_NUMBERS = regex.compile(rf"(?=.*\d)(?:{_NUMBER}(?:\s+|$))+", regex.IGNORECASE)


def kind_of(text):
    """What a text is in place of a prompt: "an address", "a file name", "a number", "an identifier", "JSON", or None.

    A single word gives None, and so does what only begins with an address or a command, as prompts of Midjourney do.
    """
    text = text.strip()
    if len(text) > 1_000 or "\n" in text:
        return None
    if _ADDRESS.fullmatch(text):
        return "an address"
    if _PATH.fullmatch(text) or _FILE.fullmatch(text):
        return "a file name"
    if _NUMBERS.fullmatch(text):
        return "a number"
    if text[:1] in ("{", "[") and text[-1:] in ("}", "]") and _is_json(text):
        return "JSON"
    return "an identifier" if _TOKEN.fullmatch(text) and _CODE.fullmatch(text) else None


def _is_json(text):
    try:
        return isinstance(json.loads(text), (dict, list))
    except (ValueError, RecursionError):
        return False
