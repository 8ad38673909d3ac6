"""The currencies of ISO 4217 in which an amount can be counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from steelyard.kernel.refusal import Refusal, RefusalKind


class UnknownCurrency(Refusal):
    """The code is not one of ISO 4217, or names something that is not counted in units."""

    kind = RefusalKind.INVALID
    en = "{currency} is not a currency code of ISO 4217."
    zh = "{currency} 不是 ISO 4217 货币代码。"


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency of ISO 4217; two are the same when their codes are.

    Attributes
    ----------
    code : three capital letters, `CNY`
    numeric : the three-digit number, 156
    exponent : decimals of the minor unit: 2 for CNY, 0 for JPY, 3 for KWD, 4 for CLF
    name_en, name_zh : `name_zh` is empty where no Chinese name is in common use here

    Examples
    --------
    >>> Currency.of("KWD").exponent
    3
    """

    code: str
    numeric: int = field(compare=False)
    exponent: int = field(compare=False)
    name_en: str = field(compare=False)
    name_zh: str = field(compare=False, default="")

    @classmethod
    def of(cls, code: str) -> Currency:
        """Return the currency of a code in capital letters.

        Refusals
        --------
        unknown_currency : not in the table; small letters are not mended
        """
        known = CURRENCIES.get(code)
        if known is None:
            raise UnknownCurrency(currency=code)
        return known

    @property
    def minor_per_major(self) -> int:
        """How many minor units make one: 100 for CNY, 1 for JPY."""
        return int(10**self.exponent)

    def name(self, language: str) -> str:
        """Return the name in Chinese for `zh*` where there is one, otherwise in English.

        Examples
        --------
        >>> Currency.of("CNY").name("zh-CN"), Currency.of("CNY").name("en")
        ('人民币元', 'Yuan Renminbi')
        """
        if language.lower().startswith("zh") and self.name_zh:
            return self.name_zh
        return self.name_en

    def __str__(self) -> str:
        return self.code


# Code, number, exponent, English name | Chinese name. ISO 4217 list one as published on 1 January
# 2026, without the codes that have no minor unit (metals, units of account, testing, none).
_LIST_ONE: Final = """
AED 784 2 UAE Dirham | 阿联酋迪拉姆
AFN 971 2 Afghani | 阿富汗尼
ALL 008 2 Lek | 阿尔巴尼亚列克
AMD 051 2 Armenian Dram | 亚美尼亚德拉姆
AOA 973 2 Kwanza | 安哥拉宽扎
ARS 032 2 Argentine Peso | 阿根廷比索
AUD 036 2 Australian Dollar | 澳大利亚元
AWG 533 2 Aruban Florin
AZN 944 2 Azerbaijan Manat | 阿塞拜疆马纳特
BAM 977 2 Convertible Mark
BBD 052 2 Barbados Dollar
BDT 050 2 Taka | 孟加拉塔卡
BHD 048 3 Bahraini Dinar | 巴林第纳尔
BIF 108 0 Burundi Franc
BMD 060 2 Bermudian Dollar
BND 096 2 Brunei Dollar | 文莱元
BOB 068 2 Boliviano | 玻利维亚诺
BOV 984 2 Mvdol
BRL 986 2 Brazilian Real | 巴西雷亚尔
BSD 044 2 Bahamian Dollar
BTN 064 2 Ngultrum
BWP 072 2 Pula
BYN 933 2 Belarusian Ruble | 白俄罗斯卢布
BZD 084 2 Belize Dollar
CAD 124 2 Canadian Dollar | 加拿大元
CDF 976 2 Congolese Franc
CHE 947 2 WIR Euro
CHF 756 2 Swiss Franc | 瑞士法郎
CHW 948 2 WIR Franc
CLF 990 4 Unidad de Fomento
CLP 152 0 Chilean Peso | 智利比索
CNY 156 2 Yuan Renminbi | 人民币元
COP 170 2 Colombian Peso | 哥伦比亚比索
COU 970 2 Unidad de Valor Real
CRC 188 2 Costa Rican Colon | 哥斯达黎加科朗
CUP 192 2 Cuban Peso | 古巴比索
CVE 132 2 Cabo Verde Escudo
CZK 203 2 Czech Koruna | 捷克克朗
DJF 262 0 Djibouti Franc
DKK 208 2 Danish Krone | 丹麦克朗
DOP 214 2 Dominican Peso | 多米尼加比索
DZD 012 2 Algerian Dinar | 阿尔及利亚第纳尔
EGP 818 2 Egyptian Pound | 埃及镑
ERN 232 2 Nakfa
ETB 230 2 Ethiopian Birr | 埃塞俄比亚比尔
EUR 978 2 Euro | 欧元
FJD 242 2 Fiji Dollar | 斐济元
FKP 238 2 Falkland Islands Pound
GBP 826 2 Pound Sterling | 英镑
GEL 981 2 Lari | 格鲁吉亚拉里
GHS 936 2 Ghana Cedi | 加纳塞地
GIP 292 2 Gibraltar Pound
GMD 270 2 Dalasi
GNF 324 0 Guinean Franc
GTQ 320 2 Quetzal
GYD 328 2 Guyana Dollar
HKD 344 2 Hong Kong Dollar | 港元
HNL 340 2 Lempira
HTG 332 2 Gourde
HUF 348 2 Forint | 匈牙利福林
IDR 360 2 Rupiah | 印度尼西亚卢比
ILS 376 2 New Israeli Sheqel | 以色列新谢克尔
INR 356 2 Indian Rupee | 印度卢比
IQD 368 3 Iraqi Dinar | 伊拉克第纳尔
IRR 364 2 Iranian Rial | 伊朗里亚尔
ISK 352 0 Iceland Krona | 冰岛克朗
JMD 388 2 Jamaican Dollar | 牙买加元
JOD 400 3 Jordanian Dinar | 约旦第纳尔
JPY 392 0 Yen | 日元
KES 404 2 Kenyan Shilling | 肯尼亚先令
KGS 417 2 Som | 吉尔吉斯斯坦索姆
KHR 116 2 Riel | 柬埔寨瑞尔
KMF 174 0 Comorian Franc
KPW 408 2 North Korean Won | 朝鲜元
KRW 410 0 Won | 韩元
KWD 414 3 Kuwaiti Dinar | 科威特第纳尔
KYD 136 2 Cayman Islands Dollar
KZT 398 2 Tenge | 哈萨克斯坦坚戈
LAK 418 2 Lao Kip | 老挝基普
LBP 422 2 Lebanese Pound | 黎巴嫩镑
LKR 144 2 Sri Lanka Rupee | 斯里兰卡卢比
LRD 430 2 Liberian Dollar
LSL 426 2 Loti
LYD 434 3 Libyan Dinar | 利比亚第纳尔
MAD 504 2 Moroccan Dirham | 摩洛哥迪拉姆
MDL 498 2 Moldovan Leu
MGA 969 2 Malagasy Ariary
MKD 807 2 Denar
MMK 104 2 Kyat | 缅甸元
MNT 496 2 Tugrik | 蒙古图格里克
MOP 446 2 Pataca | 澳门元
MRU 929 2 Ouguiya
MUR 480 2 Mauritius Rupee | 毛里求斯卢比
MVR 462 2 Rufiyaa | 马尔代夫拉菲亚
MWK 454 2 Malawi Kwacha
MXN 484 2 Mexican Peso | 墨西哥比索
MXV 979 2 Mexican Unidad de Inversion (UDI)
MYR 458 2 Malaysian Ringgit | 马来西亚林吉特
MZN 943 2 Mozambique Metical
NAD 516 2 Namibia Dollar
NGN 566 2 Naira | 尼日利亚奈拉
NIO 558 2 Cordoba Oro
NOK 578 2 Norwegian Krone | 挪威克朗
NPR 524 2 Nepalese Rupee | 尼泊尔卢比
NZD 554 2 New Zealand Dollar | 新西兰元
OMR 512 3 Rial Omani | 阿曼里亚尔
PAB 590 2 Balboa
PEN 604 2 Sol | 秘鲁索尔
PGK 598 2 Kina
PHP 608 2 Philippine Peso | 菲律宾比索
PKR 586 2 Pakistan Rupee | 巴基斯坦卢比
PLN 985 2 Zloty | 波兰兹罗提
PYG 600 0 Guarani
QAR 634 2 Qatari Rial | 卡塔尔里亚尔
RON 946 2 Romanian Leu | 罗马尼亚列伊
RSD 941 2 Serbian Dinar | 塞尔维亚第纳尔
RUB 643 2 Russian Ruble | 俄罗斯卢布
RWF 646 0 Rwanda Franc
SAR 682 2 Saudi Riyal | 沙特里亚尔
SBD 090 2 Solomon Islands Dollar
SCR 690 2 Seychelles Rupee
SDG 938 2 Sudanese Pound
SEK 752 2 Swedish Krona | 瑞典克朗
SGD 702 2 Singapore Dollar | 新加坡元
SHP 654 2 Saint Helena Pound
SLE 925 2 Leone
SOS 706 2 Somali Shilling
SRD 968 2 Surinam Dollar
SSP 728 2 South Sudanese Pound
STN 930 2 Dobra
SVC 222 2 El Salvador Colon
SYP 760 2 Syrian Pound
SZL 748 2 Lilangeni
THB 764 2 Baht | 泰铢
TJS 972 2 Somoni | 塔吉克斯坦索莫尼
TMT 934 2 Turkmenistan New Manat | 土库曼斯坦马纳特
TND 788 3 Tunisian Dinar | 突尼斯第纳尔
TOP 776 2 Pa’anga
TRY 949 2 Turkish Lira | 土耳其里拉
TTD 780 2 Trinidad and Tobago Dollar
TWD 901 2 New Taiwan Dollar | 新台币
TZS 834 2 Tanzanian Shilling | 坦桑尼亚先令
UAH 980 2 Hryvnia | 乌克兰格里夫纳
UGX 800 0 Uganda Shilling | 乌干达先令
USD 840 2 US Dollar | 美元
USN 997 2 US Dollar (Next day)
UYI 940 0 Uruguay Peso en Unidades Indexadas (UI)
UYU 858 2 Peso Uruguayo | 乌拉圭比索
UYW 927 4 Unidad Previsional
UZS 860 2 Uzbekistan Sum | 乌兹别克斯坦苏姆
VED 926 2 Bolívar Soberano
VES 928 2 Bolívar Soberano
VND 704 0 Dong | 越南盾
VUV 548 0 Vatu
WST 882 2 Tala
XAD 396 2 Arab Accounting Dinar
XAF 950 0 CFA Franc BEAC | 中非法郎
XCD 951 2 East Caribbean Dollar
XCG 532 2 Caribbean Guilder
XOF 952 0 CFA Franc BCEAO | 西非法郎
XPF 953 0 CFP Franc | 太平洋法郎
YER 886 2 Yemeni Rial
ZAR 710 2 Rand | 南非兰特
ZMW 967 2 Zambian Kwacha | 赞比亚克瓦查
ZWG 924 2 Zimbabwe Gold
"""


def _read(table: str) -> Mapping[str, Currency]:
    rows: dict[str, Currency] = {}
    for line in table.strip().splitlines():
        code, numeric, exponent, names = line.split(" ", 3)
        name_en, _, name_zh = names.partition(" | ")
        rows[code] = Currency(code, int(numeric), int(exponent), name_en, name_zh)
    return MappingProxyType(rows)


CURRENCIES: Final = _read(_LIST_ONE)
"""Every currency by its code, in the order of the codes."""
