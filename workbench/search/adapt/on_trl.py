"""The same learning with trl: for people with a GPU and a model from the hub."""

import contextlib
import copy
import random
import tempfile

import numpy as np
import torch
import transformers

from workbench import files
from workbench.models.loading import quiet
from workbench.search.adapt.config import AdaptConfig
from workbench.search.adapt.reinforcing import check_prompts
from workbench.search.adapt.rewriter import Rewriter, ends_of, texts_of
from workbench.search.policy import checked
from workbench.values import Sample


def for_trl(reward, lm=None):
    """A reward as the trainers of trl call it.

    Args:
        reward: function, list of n texts -> n numbers, as `reinforce` takes it.
        lm: `models.LM` whose tokens trl hands over; then texts are exact. None: a text is its prompt and its completion joined.

    Returns:
        function of `prompts` and `completions`, lists of n str, and more that trl names -> list of n float. A column `typed` of
        the data set gives the words as typed; without it they are the prompts.

    Source:
        trl 1.16, `GRPOTrainer(reward_funcs=...)`.
    """

    def call(prompts, completions, completion_ids=None, typed=None, **others):
        typed = typed or prompts
        if lm is None or completion_ids is None:
            texts = [Sample(start + rest, context=start) for start, rest in zip(typed, completions, strict=True)]
        else:
            texts = texts_of(lm, typed, [tuple(ids) for ids in completion_ids])
        return checked(reward(texts), len(texts)).tolist()

    call.__name__ = getattr(reward, "__name__", None) or type(reward).__name__
    return call


def grpo(policy, reward, prompts, config=None, *, folder, progress=True):
    """As `reinforce`, by the `GRPOTrainer` of trl: on a GPU if there is one. The given policy is not changed.

    Needs trl (`pip install trl`). Options that `AdaptConfig` does not have are those of trl: copy these lines and change them.

    Args:
        policy: `Rewriter`.
        reward: as in `reinforce`.
        prompts: list of p str, the words as typed.
        config: `AdaptConfig`, of which `steps`, `inputs`, `samples`, `rate`, `beta` and `seed` count.
        folder: str or Path, where trl may write.
        progress: bool, show trl's progress bar.

    Returns:
        (`Rewriter`, history: list of dicts as trl logs them, with `reward`, and with `kl` where `beta` is above 0).

    Raises:
        ImportError: trl is not installed.
        TypeError: a policy that is no `Rewriter`, or prompts that are no str.
    """
    config = config or AdaptConfig()
    if not isinstance(policy, Rewriter):
        raise TypeError(f"grpo tunes a Rewriter, got {type(policy).__name__}.")
    prompts, folder = check_prompts(policy, reward, prompts, {}), files.path(folder, "folder")
    try:
        import datasets
        import trl
    except ImportError as err:
        raise ImportError(
            f"adapt.grpo needs trl and datasets: pip install trl datasets ({err}). adapt.reinforce needs neither."
        ) from err
    learner, tokenizer = policy.copy(), copy.deepcopy(policy.lm.tokenizer)
    lm, inputs, begin = learner.lm, min(config.inputs, len(prompts)), tokenizer.bos_token or ""
    if tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]:
        begin = ""  # trl calls the tokenizer in this way: it begins texts itself
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    lm.model.generation_config.eos_token_id = ends_of(lm)[0]
    args = trl.GRPOConfig(
        output_dir=str(folder),
        max_steps=config.steps,
        per_device_train_batch_size=inputs * config.samples,
        num_generations=config.samples,
        max_completion_length=policy.max_tokens,
        learning_rate=config.rate,
        beta=config.beta,
        temperature=1.0,
        top_k=0,
        loss_type="grpo",
        disable_dropout=True,
        bf16=False,
        gradient_checkpointing=None,
        dataloader_pin_memory=torch.cuda.is_available(),
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=not progress,
        seed=config.seed,
    )
    rows = [{"prompt": begin + typed, "typed": str(typed)} for typed in prompts]
    files.make_folder(folder)
    with _generators_kept(), tempfile.TemporaryDirectory(dir=folder) as start:
        with quiet():
            if config.beta:  # trl pulls to what it reads from where the model came from, which is not this policy
                lm.model.save_pretrained(start)
                lm.model.config.name_or_path = start
            trainer = trl.GRPOTrainer(
                model=lm.model,
                processing_class=tokenizer,
                reward_funcs=for_trl(reward, lm),
                args=args,
                train_dataset=datasets.Dataset.from_list(rows),
            )
        trainer.remove_callback(transformers.PrinterCallback)  # the history is returned
        trainer.train()
    lm.model.config.name_or_path = policy.lm.model.config.name_or_path
    history = [row for row in trainer.state.log_history if "reward" in row]
    lm.model.eval()
    return learner, history


@contextlib.contextmanager
def _generators_kept():
    """The generators of Python, numpy and torch, which trl seeds, are afterwards as before."""
    python, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        yield
    random.setstate(python)
    np.random.set_state(arrays)
