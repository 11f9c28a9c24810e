"""The words by which an answer to a multiple-choice question names an option, for `choices`."""

from __future__ import annotations

import re

NAMES = (
    r"option|choice|answer|letter|alternativ[ea]|statement|response|selection|lettre|letra|lettera|"
    r"buchstabe|opción|opcion|opção|opzione|antwort|réponse|reponse|respuesta|resposta|risposta"
)
GOOD = (
    r"correct|right|best|final|true|appropriate|accurate|valid|closest|nearest|proper|suitable|"
    r"likely|intended|chosen|selected|richtige?|korrekte?|beste|correct[ae]|bonne|juste|corretta"
)
IS = (
    r"(?:is|ist|est|es|é|è|must be|(?:seems|appears|looks)(?: to be)?|would be|should be|has to be|"
    r"turns out to be|(?:stands out|emerges|comes out|qualifies) as|remains|fits|matches|makes|"
    r"works)"
)
DEGREE = r"\w+ly |thus |also |our |my |the |a |die |la |le |only |single |most |very |one "
# What announces an answer; what follows the next copula (or mark) is read as the answer.
LABEL = re.compile(
    rf"\b(?:(?:{GOOD}) (?:{NAMES}|one|description|value|match|explanation|product|structure|order"
    rf"|sequence)|answers?(?![a-z])|ans\b\.?|my (?:{NAMES}|pick|guess)"
    rf"|final (?:{NAMES}|decision|pick)"
    rf"|(?<![a-z] )(?:{NAMES}|final|result|verdict|pick)(?='?\s?[:=])"
    rf"|(?:{NAMES}) (?:corr?ec?t\w+|juste)\b"
    rf"|(?:{NAMES}|one) (?:that|which)\b"
    r"|(?:correct[ae]?|richtig|korrekt)\b(?= (?:is|ist|es|est)\b|:))"
    r"|答案|正确选项|选项|正解|答え|解答|정답|답은|답:|\b(?:antwort|lösung|réponse|reponse|respuesta|"
    r"resposta|risposta|ответ|jawaban|đáp án|cevap|odpowiedź)\b",
    re.IGNORECASE,
)
COPULA = re.compile(
    r"[:=]|['’]s\b|->|→|⇒| - |\b(?:is|are|was|be|remains|becomes|seems|appears|ist|lautet|est|es|"
    r"é|è|это|jest"
    r"|là|adalah)\b|[是为為は은는]|\.(?= ?\()",
    re.IGNORECASE,
)
HEADING = re.compile(
    r"^[^\w]*(?:the )?(?:(?:final|correct|best|right) )?(?:answer|choice|option|conclusion|solution"
    r"|答案|答え|정답|antwort|réponse|respuesta|ответ)[^\w]*$",
    re.IGNORECASE,
)
SHORT_LINE = re.compile(r"^[^\n]{2,60}$", re.MULTILINE)
HYPOTHESIS = re.compile(
    r"\b(?:if|whether|suppose|assuming|unless|don't think|not sure|why)\b[^.!?\n]{0,40}$",
    re.IGNORECASE,
)
DECIDES = re.compile(
    r"\b(?:cho(?:ose|osing|se)|pick(?:ed|ing)?|select(?:ed|ing)?|go(?:ing)? with|opt(?:ing)? for|"
    r"settle on|vote for|lean(?:ing)? towards?|guess|mak(?:es?|ing)|"
    r"leav(?:es?|ing)(?: us)?(?: with)?|think(?! of| about)|believe|matches|"
    r"(?:looks?|seems?|feels?|sounds?) like|"
    r"(?:closest|nearest|corresponds|(?:everything|evidence|all|this) points?) to|"
    r"say(?:ing)?|(?:it|that)(?:'s| is)|must be|has to be|can only be|only|"
    r"confident (?:in|about|of)|it should be|that would be|"
    r"wähle|elijo|escolho)\b(?: is| only)?"
    r"|[选選](?:择|擇)?",
    re.IGNORECASE,
)
# Words and signs (arrows, pictures) before the letter that say nothing of it
LEAD = re.compile(
    r"(?:[\s:=>.'#\u2190-\u21ff\u2600-\u26ff\u27a1\u2b00-\u2bff\ufe0f\U0001f300-\U0001faff✅✓✔☑-]+|"
    r"\b(?:the|that of|of|to be|be|given by|labell?ed|indeed|therefore|thus|hence|"
    r"then|so|donc|also|(?-i:a(?= [A-Z](?:\W*$|[).,]\s)))|"
    r"la|le|el|die|der|das|clearly|most likely|most|likely|probably|"
    r"simply|just|actually|definitely|again|"
    rf"(?:{GOOD})(?= (?:{NAMES}))|(?:{NAMES})s?)\b[:,#]?)+",
    re.IGNORECASE,
)
# Words that go on after a letter; after any other word it is an article or begins a name
GOES_ON = (
    r"because|since|as|for|due|given|which|where|that|is|was|with|by|not|from|based|according|"
    r"rather|instead|the (?:correct|right|best|only)|if|when|but|while|here|only|"
    r"after|in this|in the|i\.e|and (?:not|the|this|it)|"
    r"exactly|then|though|fits|matches|satisfies|works|remains(?=[.!]?$)|survives|"
    r"parce|car|porque|weil|da|perché|потому"
)
JOINED = r"\s*(?:,|/|&|\+|\b(?:and/or|and|or|und|oder|et|ou|y|o|e|и|или|nor)\b|[和或与及、])+\s*"
NO_OPTION = re.compile(
    r"^\W*(?:none\b|no (?:option|correct|answer|choice)|neither\b|null\b|unknown\b|unclear\b)",
    re.IGNORECASE,
)
WRONG = re.compile(
    r"\b(?:not|isn't|incorrect|wrong|false|invalid|doesn't|cannot|can't|eliminat\w*|rule[sd]? out|"
    r"excluded?|unlike\w*|sorry|unable|"
    r"let's|let us|let me|consider\w*|possible|plausible)\b|n't\b|[❌✗✘]",
    re.IGNORECASE,
)
CONCLUDES = re.compile(
    r"\b(?:so|thus|therefore|hence|answer|conclu\w+|finally|must be|overall)\b", re.IGNORECASE
)
# All that stands before the last "so": "not A, not B; so C" says C
CONCLUSION = re.compile(
    r".*\b(?:so(?! (?:is|are|does)\b)|thus|hence|therefore|consequently|donc|daher)\b,?:? ", re.I
)
IDENTIFIES = re.compile(
    r"(?:\b(?:is|are|was|be|est|ist|es|equals|gives|(?:rounds|comes|amounts) to)\b|[=≈]) ?"
    r"(?:an? |called |about |approximately )*([^=≈]*)$"
)
# An option's text that is called the answer: "Marx is the correct answer"
CALLED = re.compile(rf"^(.*?),? (?:is|must be|would be) the (?:{GOOD}) (?:{NAMES}|one)\b", re.I)
RIGHT = re.compile(r"[✅✓✔☑]")
CLOSING = re.compile(
    r"^\W*(?:i hope|hope (?:this|that|it)|let me know|feel free|if you|"
    r"please let|good luck|thanks?\b)",
    re.IGNORECASE,
)


ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
ORDINAL = re.compile(
    rf"\b({'|'.join(ORDINALS)}|last) (?:option|choice|answer|alternative)\b", re.IGNORECASE
)
# What is set against the answer: "30 J, and not 20 J", "C rather than D"
CONTRAST = re.compile(r",? (?:rather than|instead of|as opposed to)\b.*|, (?:and |but )?not\b.*")
