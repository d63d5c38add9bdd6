"""The models behind the data: one interface, a client for OpenAI-compatible endpoints, a scripted model."""

from data_synth.llm.model import Model
from data_synth.llm.scripted import ScriptedModel
from data_synth.llm.settings import LlmSettings


def open_model(settings: LlmSettings, seed: int) -> Model:
    """The model of ``llm=…``; connections are opened when it is first asked.

    Args:
        seed: of the run; with another one the same requests have other answers.

    Raises:
        InputError: no key in the environment, or a cache that can't be used.
    """
    if settings.name == "scripted":
        return ScriptedModel(seed)
    from data_synth.llm.openai import OpenAiModel  # what needs no network loads no client

    return OpenAiModel(settings, seed)
