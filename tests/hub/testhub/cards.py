"""Model cards as the Hub reads them: the YAML at the top of README.md, checked field by field, and its tags."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from huggingface_hub import ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from huggingface_hub.utils import validate_repo_id

_LICENSES = """
apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0
cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0
cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0
cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0
gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl
apple-amlr mpl-2.0 odc-by odbl openmdw-1.0 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl
lgpl-lr deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3
llama4 grok2-community gemma unknown other
"""
_RELATIONS = ("adapter", "finetune", "merge", "quantized")
_ARXIV = re.compile(r"arxiv\.org/(?:abs|pdf)/(\d{4}\.\d{4,5})|(?:arxiv|ArXiv|arXiv):\s?(\d{4}\.\d{4,5})")
_STRINGS = ("library_name", "pipeline_tag", "license_name", "license_link", "base_model_relation")
_LISTS = ("tags", "language", "datasets", "metrics", "base_model", "license")


class _Loader(yaml.SafeLoader):
    """YAML as the Hub parses it: a key given twice is an error, and a date stays the text that it was."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the base class's own attribute
        first: [(tag, shape) for tag, shape in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(None, None, f"duplicated mapping key {twice[0]!r}", node.start_mark)
        return super().construct_mapping(node, deep)


def validate(content: str) -> tuple[list[str], list[str]]:
    """(errors, warnings) about a whole README.md."""
    block = REGEX_YAML_BLOCK.search(content)
    if not block or not block[2].strip():
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        metadata = yaml.load(block[2], _Loader)
    except yaml.YAMLError as error:
        return [f"Invalid YAML: {error}"], []
    if not isinstance(metadata, dict):
        return ["the metadata in a repo card must be a mapping"], []
    errors = [*_types(metadata), *_values(metadata), *_model_index(metadata.get("model-index"))]
    if not errors:
        try:
            ModelCardData(**{**metadata, "model_name": metadata.get("model_name")})
        except (ValueError, TypeError, KeyError) as error:
            errors = [str(error)]
    return errors, []


def _types(metadata: Mapping[str, Any]) -> Iterator[str]:
    for key in _STRINGS:
        if key in metadata and not isinstance(metadata[key], str):
            yield f'"{key}" must be a string'
    for key in _LISTS:
        value = metadata.get(key, [])
        items = value if isinstance(value, list) else [value]
        if key == "tags" and not isinstance(value, list):
            yield '"tags" must be an array'
        elif not all(isinstance(item, str) for item in items):
            yield f'"{key}" must be a string or an array of strings'


def _values(metadata: Mapping[str, Any]) -> Iterator[str]:
    for licence in _listed(metadata.get("license")):
        if licence not in _LICENSES.split():
            yield f'"license" must be one of {", ".join(_LICENSES.split())}; it is "{licence}"'
    for base in _listed(metadata.get("base_model")):
        try:
            validate_repo_id(base)
        except HFValidationError:
            yield f'"base_model" with value "{base}" is not valid. Use a model id from https://hf.co/models.'
    if metadata.get("base_model_relation", "adapter") not in _RELATIONS:
        yield f'"base_model_relation" must be one of {", ".join(_RELATIONS)}'


def _model_index(index: Any) -> Iterator[str]:
    if index is None:
        return
    if not isinstance(index, list):
        yield '"model-index" must be an array'
        return
    for i, model in enumerate(index):
        where = f"model-index[{i}]"
        if not isinstance(model, dict) or not isinstance(model.get("name"), str):
            yield f'"{where}.name" is required'
        elif not isinstance(model.get("results"), list):
            yield f'"{where}.results" must be an array'
        else:
            for j, result in enumerate(model["results"]):
                yield from _result(f"{where}.results[{j}]", result)


def _result(where: str, result: Any) -> Iterator[str]:
    if not isinstance(result, dict):
        yield f'"{where}" must be an object'
        return
    for part, required in (("task", ("type",)), ("dataset", ("type", "name"))):
        for key in required:
            if not isinstance((result.get(part) or {}).get(key), str):
                yield f'"{where}.{part}.{key}" is required'
    metrics = result.get("metrics")
    if not isinstance(metrics, list) or not metrics:
        yield f'"{where}.metrics" is required'
        return
    for k, metric in enumerate(metrics):
        if not isinstance(metric, dict) or not isinstance(metric.get("type"), str):
            yield f'"{where}.metrics[{k}].type" is required'
        elif metric.get("value") is None:
            yield f'"{where}.metrics[{k}].value" is required'


def metadata_of(readme: str) -> dict[str, Any]:
    """The metadata of a card, empty where there is none or it cannot be read."""
    block = REGEX_YAML_BLOCK.search(readme)
    try:
        metadata = yaml.load(block[2], _Loader) if block else None
    except yaml.YAMLError:
        return {}
    return metadata if isinstance(metadata, dict) else {}


def library_of(metadata: Mapping[str, Any], files: Mapping[str, object]) -> str | None:
    """The library that the card names, or the one whose files are there."""
    if "library_name" in metadata:
        return str(metadata["library_name"])
    return "peft" if "adapter_config.json" in files else "transformers" if "config.json" in files else None


def tags_of(metadata: Mapping[str, Any], readme: str, files: Mapping[str, object]) -> list[str]:
    """The tags by which a model is found, made of its card, its files and the papers that the card names."""
    library = library_of(metadata, files)
    tags = [library] if library else []
    tags += ["safetensors"] if any(path.endswith(".safetensors") for path in files) else []
    tags += [str(tag) for tag in _listed(metadata.get("tags"))]
    tags += ["model-index"] if metadata.get("model-index") else []
    tags += [str(language) for language in _listed(metadata.get("language"))]
    tags += [f"dataset:{dataset}" for dataset in _listed(metadata.get("datasets"))]
    tags += [f"arxiv:{first or second}" for first, second in _ARXIV.findall(readme)]
    bases = _listed(metadata.get("base_model"))
    relation = metadata.get("base_model_relation") or _guessed_relation(bases, files)
    tags += [f"base_model:{base}" for base in bases] + [f"base_model:{relation}:{base}" for base in bases]
    tags += [f"license:{licence}" for licence in _listed(metadata.get("license"))]
    return list(dict.fromkeys([*tags, "region:us"]))


def _guessed_relation(bases: list[Any], files: Mapping[str, object]) -> str:
    if len(bases) > 1:
        return "merge"
    return "adapter" if "adapter_config.json" in files else "finetune"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
