"""Words that make another fact of a sentence: numbers, days, months, hours and negations, in thirteen languages.

Written as people write them; corrections.py folds them. "/" stands between forms of one word, "*" for any ending, "_"
for a number left out since its word has a commoner sense (one, sei, 一): the other text's number still shows the
difference. The scripts without blanks are searched for these words anywhere in a text, so there the common words that
hold one stand under `harmless`.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Telling(NamedTuple):
    """The telling words of a language: numbers in order from 0 (then the tens), the rest in any order."""

    numbers: str
    large: str  # VALUE:word
    dates: str
    negations: str
    harmless: str = ""


TELLING: Final = {
    "en": Telling(
        "zero _ two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty",
        "30:thirty 40:forty 50:fifty 60:sixty 70:seventy 80:eighty 90:ninety 100:hundred/hundreds "
        "1000:thousand/thousands 1000000:million 2:twice 3:third 4:fourth 5:fifth 6:sixth 7:seventh 8:eighth "
        "9:ninth 10:tenth 12:dozen 0.5:half",
        "monday/mondays tuesday/tuesdays wednesday/wednesdays thursday/thursdays friday/fridays "
        "saturday/saturdays sunday/sundays january february april june july august september october november "
        "december today yesterday tomorrow tonight morning afternoon evening night noon midnight pm spring "
        "summer autumn winter",
        "not no never none nobody nothing nowhere neither nor without dont doesnt didnt isnt arent wasnt "
        "werent wont wouldnt cant couldnt shouldnt havent hasnt hadnt",
    ),
    "de": Telling(
        "null _ zwei/zwo/zweien drei/dreien vier/vieren fünf sechs sieben acht neun zehn elf zwölf dreizehn "
        "vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn zwanzig",
        "30:dreißig 40:vierzig 50:fünfzig 60:sechzig 70:siebzig 80:achtzig 90:neunzig 100:hundert "
        "1000:tausend 1000000:million/millionen 2:zweimal/zweite/zweiten/zweiter/zweites "
        "3:dreimal/dritte/dritten/dritter/drittes 4:vierte/vierten/vierter 5:fünfte/fünften/fünfter "
        "0.5:halb/halbe/halber/halben/hälfte",
        "montag/montags dienstag/dienstags mittwoch/mittwochs donnerstag/donnerstags freitag/freitags "
        "samstag/samstags sonnabend sonntag/sonntags januar/jänner februar märz april mai juni juli august "
        "september oktober november dezember heute gestern morgen vorgestern übermorgen abend/abends "
        "nachmittag/nachmittags vormittag/vormittags mittag/mittags mitternacht nacht/nachts früh "
        "frühling/frühjahr sommer herbst winter montagabend dienstagabend",
        "nicht kein/keine/keinen/keinem/keiner/keines nie niemals nichts niemand/niemanden/niemandem nirgends "
        "ohne nein weder",
    ),
    "fr": Telling(
        "zéro _ deux trois quatre cinq six sept huit _ dix onze douze treize quatorze quinze seize _ _ _ "
        "vingt",
        "30:trente 40:quarante 50:cinquante 60:soixante 100:cent/cents 1000:mille 1000000:million/millions "
        "2:deuxième 3:troisième 4:quatrième 5:cinquième 0.5:demi/demie/moitié",
        "lundi/lundis mardi/mardis mercredi/mercredis jeudi/jeudis vendredi/vendredis samedi/samedis "
        "dimanche/dimanches janvier février mars avril mai juin juillet août septembre octobre novembre "
        "décembre hui hier demain matin midi minuit soir/soirée nuit printemps automne hiver",
        "pas jamais rien aucun/aucune personne nulle sans non ni guère",
    ),
    "es": Telling(
        "cero _ dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis "
        "diecisiete dieciocho diecinueve veinte",
        "30:treinta 40:cuarenta 50:cincuenta 60:sesenta 70:setenta 80:ochenta 90:noventa "
        "100:cien/ciento/cientos 1000:mil 1000000:millón/millones 2:segundo/segunda 3:tercero/tercera/tercer "
        "4:cuarto/cuarta 5:quinto/quinta 0.5:medio/media/mitad",
        "lunes martes miércoles jueves viernes sábado/sábados domingo/domingos enero febrero marzo abril mayo "
        "junio julio agosto septiembre/setiembre octubre noviembre diciembre hoy ayer mañana anteayer tarde "
        "mediodía medianoche noche anoche madrugada primavera verano otoño invierno",
        "no nunca jamás nada nadie ningún/ninguno/ninguna tampoco sin ni",
    ),
    "it": Telling(
        "zero _ due tre quattro cinque _ sette otto nove dieci undici dodici tredici quattordici quindici "
        "sedici diciassette diciotto diciannove venti",
        "30:trenta 40:quaranta 50:cinquanta 60:sessanta 70:settanta 80:ottanta 90:novanta 100:cento "
        "1000:mille/mila 1000000:milione/milioni 2:seconda 3:terzo/terza 4:quarto/quarta 5:quinto/quinta "
        "0.5:mezzo/mezza/metà",
        "lunedì martedì mercoledì giovedì venerdì sabato domenica gennaio febbraio marzo aprile maggio giugno "
        "luglio agosto settembre ottobre novembre dicembre oggi ieri domani dopodomani "
        "mattina/mattino/stamattina pomeriggio mezzogiorno mezzanotte sera/stasera notte/stanotte primavera "
        "estate autunno inverno",
        "non no mai nessuno/nessuna/nessun niente nulla né senza nemmeno neanche",
    ),
    "pt": Telling(
        "zero _ dois/duas três quatro cinco seis sete oito nove dez onze doze treze catorze/quatorze quinze "
        "dezesseis/dezasseis dezessete/dezassete dezoito dezenove/dezanove vinte",
        "30:trinta 40:quarenta 50:cinquenta 60:sessenta 70:setenta 80:oitenta 90:noventa 100:cem/cento "
        "1000:mil 1000000:milhão/milhões 3:terceiro/terceira 4:quarto 5:quinto 0.5:meio/meia/metade",
        "segunda terça quarta quinta sexta sábado/sábados domingo/domingos janeiro fevereiro março abril maio "
        "junho julho agosto setembro outubro novembro dezembro hoje ontem amanhã anteontem manhã tarde noite "
        "madrugada primavera verão outono inverno",
        "não nunca jamais nada ninguém nenhum/nenhuma nem sem tampouco",
    ),
    "ru": Telling(
        "ноль/нуля _ два/две/двух/двум/двумя/двое три/трех/трем/тремя/трое четыре/четырех/четырем/четверо "
        "пять/пяти/пятеро шесть/шести семь/семи восемь/восьми девять/девяти десять/десяти "
        "одиннадцать/одиннадцати двенадцать/двенадцати тринадцать/тринадцати четырнадцать/четырнадцати "
        "пятнадцать/пятнадцати шестнадцать семнадцать восемнадцать девятнадцать двадцать/двадцати",
        "30:тридцать/тридцати 40:сорок/сорока 50:пятьдесят/пятидесяти 60:шестьдесят 70:семьдесят "
        "80:восемьдесят 90:девяносто 100:сто/ста 200:двести 300:триста 1000:тысяча/тысячи/тысяч "
        "1000000:миллион/миллиона/миллионов 2:второй/второго/вторая/второе 3:третий/третьего/третья "
        "0.5:половина/половину/половины",
        "понедельник* вторник* среда/среду/среды/среде/средам четверг* пятниц* суббот* воскресень* январ* "
        "феврал* март/марта/марте апрел* май/мая/мае июн* июл* август* сентябр* октябр* ноябр* декабр* "
        "сегодня вчера завтра послезавтра позавчера утро/утра/утром днем полдень полночь вечер* "
        "ночь/ночью/ночи весна/весной/весны лето/летом осень/осенью зима/зимой/зимы",
        "не нет ни никогда никто/никого/никому ничего/ничто нельзя без нигде никуда никак",
    ),
    "ar": Telling(
        "صفر _ اثنان/اثنتان/اثنتين ثلاث/ثلاثة أربع/أربعة خمس/خمسة ست/ستة سبع/سبعة ثمان/ثماني/ثمانية تسع/تسعة "
        "عشر/عشرة",
        "20:عشرون/عشرين 30:ثلاثون/ثلاثين 40:أربعون/أربعين 50:خمسون/خمسين 60:ستون/ستين 70:سبعون/سبعين "
        "80:ثمانون/ثمانين 90:تسعون/تسعين 100:مئة/مائة 1000:ألف/آلاف 1000000:مليون 2:ثانية/مرتين 3:ثالثة/ثالث "
        "4:رابعة/رابع 5:خامسة/خامس 6:سادسة/سادس 7:سابعة/سابع 8:ثامنة/ثامن 9:تاسعة/تاسع 10:عاشرة/عاشر 0.5:نصف",
        "الاثنين الثلاثاء الأربعاء الخميس الجمعة السبت الأحد يناير فبراير مارس أبريل/إبريل مايو يونيو يوليو "
        "أغسطس سبتمبر أكتوبر نوفمبر ديسمبر كانون شباط آذار نيسان أيار حزيران تموز آب أيلول تشرين اليوم أمس "
        "غد/غدا البارحة صباح/صباحا ظهر/ظهرا عصر/عصرا مساء ليل/ليلا ليلة فجر/فجرا رمضان شوال محرم رجب شعبان "
        "ربيع صيف خريف شتاء",
        "لا لم لن ما ليس/ليست/لست/لسنا/ليسوا غير بلا بدون دون مش مو أبدا",
    ),
    "hi": Telling(
        "शून्य _ दो तीन चार पाँच/पांच छह/छः/छे सात आठ नौ दस ग्यारह बारह तेरह चौदह पंद्रह/पन्द्रह सोलह सत्रह अठारह उन्नीस "
        "बीस",
        "30:तीस 40:चालीस 50:पचास 60:साठ 70:सत्तर 80:अस्सी 90:नब्बे 100:सौ 1000:हज़ार 100000:लाख 10000000:करोड़ "
        "2:दूसरा/दूसरी/दूसरे 3:तीसरा/तीसरी/तीसरे 0.5:आधा/आधी/आधे",
        "सोमवार मंगलवार बुधवार गुरुवार/बृहस्पतिवार शुक्रवार शनिवार रविवार/इतवार जनवरी फरवरी/फ़रवरी मार्च अप्रैल मई जून "
        "जुलाई अगस्त सितंबर/सितम्बर अक्टूबर/अक्तूबर नवंबर/नवम्बर दिसंबर/दिसम्बर आज कल परसों सुबह सवेरे दोपहर शाम रात गर्मी "
        "सर्दी",
        "नहीं मत न बिना",
    ),
    "ko": Telling(
        "_ _ 둘/두 셋/세 넷 다섯 여섯 일곱 여덟 아홉 열 열한 열두 _ _ _ _ _ _ _ 스물/스무",
        "30:서른 40:마흔 50:쉰 60:예순 70:일흔 80:여든 90:아흔 100:백 1000:천 0.5:절반/반",
        "월요일* 화요일* 수요일* 목요일* 금요일* 토요일* 일요일* 일월* 이월* 삼월* 사월* 오월* 유월* 칠월* "
        "팔월* 구월* 시월* 십일월* 십이월* 오늘* 어제* 내일* 모레* 그저께* 아침* 점심* 저녁* 밤/밤에/밤새 "
        "새벽* 오전* 오후* 정오* 자정* 두시* 세시* 네시* 다섯시* 여섯시* 일곱시* 여덟시* 아홉시* 열시* "
        "열한시* 열두시* 봄* 여름* 가을* 겨울*",
        "안 못 않* 없* 아니* 아닙* 아냐* 말고 마라 마세요 못하* 못했* 못해*",
    ),
    "zh": Telling(
        "零 _ 二/两/兩 三 四 五 六 七 八 九 十",
        "100:百 1000:千 10000:万/萬 100000000:亿/億 0.5:半",
        "星期一/周一/礼拜一/週一 星期二/周二/礼拜二/週二 星期三/周三/礼拜三/週三 星期四/周四/礼拜四/週四 "
        "星期五/周五/礼拜五/週五 星期六/周六/礼拜六/週六 星期日/星期天/周日/礼拜天/週日 今天/今日 昨天/昨日 "
        "明天/明日 后天/後天 前天 早上/早晨 上午 中午 下午 傍晚 晚上 半夜/深夜 凌晨 今晚 昨晚 明晚 春天 夏天 "
        "秋天 冬天 去年 今年 明年",
        "不 没/沒 未 别/別 无/無 勿 莫 非",
        "不过 不過 不错 不錯 不但 不仅 不僅 不同 不少 不久 不断 不斷 不管 差不多 说不定 不得不 好不容易 未来 "
        "未來 别人 別人 特别 特別 分别 区别 级别 无论 無論 非常 十分 万一 千万 四处 四周 三明治 九月九 半天 "
        "并非 除非",
    ),
    "ja": Telling(
        "零 _ 二/ふたつ 三/みっつ 四/よっつ 五/いつつ 六/むっつ 七/ななつ 八/やっつ 九/ここのつ 十/とお",
        "100:百 1000:千 10000:万 100000000:億 0.5:半",
        "月曜 火曜 水曜 木曜 金曜 土曜 日曜 今日/きょう 昨日/きのう 明日/あした/あす 明後日/あさって "
        "一昨日/おととい 今朝/けさ 昨夜/ゆうべ 今夜/今晩 午前 午後 朝 昼 夕方 夜 夜中 春 夏 秋 冬 去年/昨年 "
        "今年 来年",
        "ない/なかった/なく/なければ/なかっ ません/ませんでした ずに 無 不 未 非",
        "少ない 少なく 少なかった 危ない 危なく 切ない もったいない とんでもない なくなる なくなった "
        "なくなって 無事 未来 不思議 非常 半分 十分 かもしれない かもしれません なければならない "
        "なければなりません 三日月",
    ),
    "th": Telling(
        "_ _ สอง สาม สี่ ห้า หก เจ็ด แปด เก้า สิบ",
        "20:ยี่สิบ 100:ร้อย 1000:พัน 10000:หมื่น 100000:แสน 1000000:ล้าน 0.5:ครึ่ง",
        "วันจันทร์ วันอังคาร วันพุธ วันพฤหัส วันศุกร์ วันเสาร์ วันอาทิตย์ มกราคม กุมภาพันธ์ มีนาคม เมษายน พฤษภาคม มิถุนายน กรกฎาคม "
        "สิงหาคม กันยายน ตุลาคม พฤศจิกายน ธันวาคม วันนี้ เมื่อวาน พรุ่งนี้ มะรืนนี้ ตอนเช้า ตอนสาย ตอนเที่ยง ตอนบ่าย ตอนเย็น ตอนค่ำ "
        "ตอนกลางคืน เมื่อคืน คืนนี้ เที่ยงคืน เมื่อเช้า เย็นนี้ เช้านี้ ปีที่แล้ว ปีนี้ ปีหน้า",
        "ไม่ อย่า มิได้ ไร้ ปราศจาก",
        "สามี สามารถ ห้าม ห้าง หกล้ม เก้าอี้ หัวล้าน ร้อยละ เกี่ยวพัน สัมพันธ์ ผูกพัน พันธุ์ แสนสนุก ล้านนา อย่าง ไม่เป็นไร",
    ),
}  # fmt: skip

# Function words by which the languages in Latin letters are told apart in a text as short as a chat's line.
FUNCTION_WORDS: Final = {
    "en": "the and i to of a in is was it that my you for with on at have this we he she not be are had",
    "de": "der die das und ich ist nicht ein eine zu mit auf den dem es war von im wir habe sie er auch für wie mich",
    "fr": "le la les et je est un une de des du que en il elle pas nous ai dans pour au sur avec mon ce était mes qui",
    "es": "el la los las y yo es un una de que en no se por con mi al del fue lo para muy está he como pero",
    "it": "il la lo gli le e io è un una di che in non per con mio mia al del della era ho sono nel si ma come",
    "pt": "o a os as e eu é um uma de que em não por com meu minha ao do da no na foi para está se mas como",
}  # fmt: skip

# German writes all nouns with a capital: after one of these a capital is a noun's, not a name's.
GERMAN_DETERMINERS: Final = (
    "der die das den dem des ein eine einen einem einer eines kein keine keinen keinem keiner mein meine meinen meinem "
    "meiner meines dein deine deinen deinem deiner sein seine seinen seinem seiner ihr ihre ihren ihrem ihrer unser "
    "unsere unseren unserem unserer euer eure dieser diese dieses diesen diesem jeder jede jedes jeden jedem welcher "
    "welche alle allen vom zum zur im am ins ans beim aufs durchs viel viele vielen wenig wenige mehr etwas nichts "
    "einige manche beide zwei drei vier fünf sechs sieben acht neun zehn"
)

# Where no capital shows a name, a title beside it does: those before a name, those behind it, and what looks like one.
TITLES: Final = {
    "ar": ("السيد السيدة الأستاذ الأستاذة الدكتور الدكتورة أبو أم العم العمة الخالة", "", ""),
    "hi": ("श्री श्रीमती डॉ सुश्री", "जी साहब भैया दीदी", ""),
    "ko": ("", "씨 님 선생님 씨가 씨는 씨와 씨를 씨의 씨에게 님이 님은 님과 님을", ""),
    "zh": (
        "小 老 阿", "先生 女士 太太 小姐 老师 老師 医生 醫生 叔叔 阿姨",
        "小时 小時 小心 小学 小學 小说 小孩 小声 小区 小吃 小组 小路 小朋 小伙 小子 小姐 老师 老師 老板 老人 "
        "老家 老是 老实 老婆 老公 老虎 老鼠 老旧 老的 小的 阿姨",
    ),
    "ja": ("", "さん くん ちゃん 君 様 氏 先生", ""),
    "th": ("ลุง ป้า นางสาว", "", ""),
}  # fmt: skip
