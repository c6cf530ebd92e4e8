"""Which languages a word speaks for: the commonest words of languages in Latin letters that meet in memories.

The six that are known are decided here where the evidence is clear; the others stand here to make it unclear, so that
py3langid is asked. A word is listed under each language that has it.
"""

from __future__ import annotations

from typing import Final

_WORDS: Final = {
    "en": (
        "the and of to that it was with you my i is in for on be are this have not at but he she they we from as"
        " his her by had or which what an were when there who will would their been if all one so up out then him"
        " them your me about just like know don't can do did how no think it's i'm get got going could some very"
        " here than into more where why our us has its am any too yes yeah please thanks hello good great really"
        " love want need help also much day today people said should after before only over back home these those"
        " because through down upon unto isn't didn't i've i'll i'd we're that's he's she's they're wasn't"
        " couldn't doesn't you're let's what's there's against off few between person persons three intent book"
        " buy find show give went wish hope start team game never nothing something now new old long little make"
        " made see says say came come each own another such though yet every under while away again oh hi hey fan"
        " big nice same two first next last sat told"
    ),
    "de": (
        "drei hinter vor der die das und ist nicht ich du wir ihr sie es ein eine einen einem einer den dem des"
        " mit von zu auf für im in war hat habe haben sind auch sich so wie was aber oder wenn dass nur noch"
        " schon nach bei aus um mein meine dir mir mich dich ja nein kein keine sehr heute morgen gestern wieder"
        " immer dann da hier zum zur am vom werden wird kann muss doch mal über durch gegen ohne bin bist hatte"
        " waren weil uns unser gut gibt"
    ),
    "fr": (
        "trois derrière deux quatre devant gare le la les un une des de du et est je tu il elle nous vous ils ne"
        " pas que qui dans en pour sur avec ce cette mon ma mes ton ta son sa ses au aux mais ou où donc plus"
        " très bien suis es sont était a ai as avons avez ont fait tout tous comme si on se me te lui leur y"
        " c'est j'ai d l j qu n m s c t moi toi être avoir aujourd hier demain encore toujours jamais rien oui"
        " non quand puis chez sans sous aujourd'hui qu'il n'est d'un d'une s'est notre votre leurs mort corps"
        " leger froid esprit fut cela ça déjà peu fois jour peut trop"
    ),
    "es": (
        "detrás bajo primero mediodía tan tarde noche día días vez veces cosas tiempo mañana algo alguien el la"
        " los las un una unos de del y es que en no se por para con su sus mi mis tu lo le les al más pero como"
        " yo él ella nos muy también ya si sí cuando donde hoy ayer está están estaba fue era son ser hay todo"
        " todos qué porque me te o e a este esta esto ese esa eso sin sobre entre hasta desde tengo tiene hace"
        " casa nada siempre nunca bien aquí gracias nuestro nuestra dijo luego fui estoy estamos vale aunque"
        " mientras muchas mucho quiero"
    ),
    "it": (
        "tre dietro davanti il lo la i gli le un una di del della dei delle dello e è che non in per con su si mi"
        " ti ci vi al alla alle dal dalla nel nella sul sulla ma o se come anche più sono sei siamo era ho hai ha"
        " abbiamo hanno io tu lui lei noi questo questa quello quella molto bene tutto tutti oggi ieri domani"
        " perché quando dove mio mia suo sua ancora sempre mai niente cosa fatto l c d a ed"
    ),
    "pt": (
        "primeiro atrás caminho ninguém tarde o a os as um uma de do da dos das e é que não em no na nos nas por"
        " para com se meu minha seu sua eu você ele ela nós mas mais como também já quando onde hoje ontem amanhã"
        " está estava foi era são ser muito tudo isso isto esse essa este esta ao à aos pelo pela até sem sobre"
        " tem tenho havia me te lhe bem aqui casa nada sempre nunca porque ou nosso nossa dele dela estou estamos"
        " fui depois agora ainda então"
    ),
    "nl": (
        "de het een en van in is dat die ik je we wij hij zij ze niet op te met voor er maar om was ook aan naar"
        " bij nog dan als zijn heb hebben had uit door over mijn wat al geen zo kan wel deze dit toch weer heel"
        " goed vandaag gisteren morgen waar toen hun ons ben bent mij moet gaan"
    ),
    "sv": (
        "och att det som en är på jag av för inte den med har till de i om ett men du vi så var sig från när han"
        " hon min mig dig kan ska bara mycket idag igår eller hade nu här där vad efter också in ut"
    ),
    "da": (
        "og at det som en er på jeg av af for ikke den med har til de i om et men du vi så var sig fra når han"
        " hun min mig meg deg dig kan skal bare meget mye eller hadde havde nå nu her der hva hvad etter efter"
        " også ut ud dag"
    ),
    "ca": (
        "el la els les un una de del i és que en no es per amb al més però com jo meu meva seu seva molt també ja"
        " si quan on avui ahir demà està estava va vaig són ser hi ha tot l d m s aquest aquesta això sense fins"
        " des"
    ),
    "gl": (
        "o a os as un unha de do da dos das e é que non en no na nos nas por para con se meu miña seu súa eu el"
        " ela máis como tamén xa cando onde hoxe onte mañá está estaba foi era son moi todo isto ao á pola pero"
    ),
    "ro": (
        "și în de la nu cu un o pe am era mai să că este sunt din pentru a fost lui ei ea el eu tu noi care ce"
        " dar sau când foarte tot azi ieri mâine mea meu ale al i si ca sa"
    ),
    "pl": (
        "i w nie na się z że do to jest jak ale za po co tak od jestem był była mi mnie ja ty ten ta już tylko o"
        " dla przez czy przy może bardzo gdy kiedy dzisiaj wczoraj jutro ze też są być"
    ),
    "tr": (
        "ve bir bu da de için çok ben sen o ne mi mı gibi daha var yok ama ile kadar sonra bana beni benim olarak"
        " değil dün bugün yarın her şey en ki"
    ),
    "id": (
        "yang dan di itu saya untuk tidak dengan ini ke dari ada aku kamu akan sudah bisa juga kita karena pada"
        " kami saja mereka atau seperti hari lagi satu tak dalam"
    ),
    "af": (
        "die en het nie is van 'n my was ek ons in met dat sy hy te om op vir aan ook maar jou nog toe baie se sal kan"
    ),
    "la": (
        "et in est non ad cum sed qui quae quod ut ex per si a ab de sunt esse enim atque nec ac hoc hic haec fit"
        " fuit sicut quam nos ego tu me te se"
    ),
    "fi": (
        "ja on ei se että hän oli mutta minä sinä niin kun kuin myös vain tämä nyt olen ole jo sitten mitä minun joka"
    ),
    "hu": "a az és nem hogy is egy de van volt meg csak már még ez ha én te mint el ki be nagyon ma mert azt",
    "cs": ("a v na se že je to s z do ale jak si jsem by pro co tak po když jsme byl byla mi mě už jen o i jako k"),
    "hr": ("i u na je se da ne za s to su sam od kao što ali o bi iz ja ti on ona mi smo bio bila samo već sve ako"),
    "tl": "ang ng sa na ko mga ako at ay hindi ka mo siya ni ito naman lang kung po may para nang pa kami",
    "sw": "na ya wa ni kwa katika la za kuwa hii lakini yake si mimi yangu sana leo jana cha vya",
    "pcm": "dey wey na don abi oga una wetin sabi no",
    "ht": "mwen ou li nou yo pa te nan ak pou ki sa gen ap se yon la",
    "eo": "la kaj de mi en estas ne al por ke kun sed oni vi ĝi estis pri kiel",
    "cy": "y yr yn a i o ar mae ac ei wedi oedd fy dw rydw nid am gan hi fel bod roedd",
    "ga": "an na ar is agus bhí tá mé sé sí ní go le do mo ach seo sin leis bhfuil",
}
SPEAKS_FOR: Final[dict[str, tuple[str, ...]]] = {}
for _language, _words in _WORDS.items():
    for _word in dict.fromkeys(_words.split()):
        SPEAKS_FOR[_word] = (*SPEAKS_FOR.get(_word, ()), _language)

# In scripts that several languages share: letters of the others, and words of the one that is known.
ARABIC_OTHERS: Final = frozenset("پچژگکیٹڈڑںےہھۓەڵۆێېۍټډړږښڼځڅګۀۇۈۋۅ")
ARABIC_OWN: Final = frozenset("ةيىكأإؤئ")
CYRILLIC_OTHERS: Final = frozenset("іїєґўјљњћђџѓќѕәғқңөұүһҳҷӣӯҗӑӗҫѣ")
CYRILLIC_OWN: Final = frozenset("ыэё")
_CYRILLIC: Final = {
    "ru": "что это как был была было были мне меня я ты он она мы его её ещё уже и в не на с но только или",
    "bg": "това съм са ще че беше със аз ти ни той тя се от за няма има като много сега сме днес",
}
_DEVANAGARI: Final = {
    "hi": "है हैं था थी थे और का की के में से नहीं को पर मैं मैंने मेरा मेरी यह वह भी हो गया क्या तो ने कर रहा रही",
    "mr": "आहे आणि होते होता होती नाही मी तो ती ते आहेत माझे माझा माझी मला काय पण हा ही हे झाले केले",
    "ne": "छ छन् हो थियो र को मेरो मलाई गर्नु गरे भयो पनि छैन हुन् मैले यो त्यो तर लागि गर्न आज",
}
CYRILLIC_WORDS: Final = {language: frozenset(words.split()) for language, words in _CYRILLIC.items()}
DEVANAGARI_WORDS: Final = {language: frozenset(words.split()) for language, words in _DEVANAGARI.items()}
# Han that only Chinese writes so often: with one of these, two characters are enough.
CHINESE: Final = frozenset("的了我你您们这那吗吧呢啊嗯哦呀么没过还说吃喝谢个对给让着")

# Signs that one of the known languages writes and the others in Latin letters do not.
SIGNS: Final = {"¿": "es", "¡": "es", "ñ": "es", "ã": "pt", "õ": "pt", "ß": "de", "œ": "fr", "ù": "fr", "î": "fr"}
