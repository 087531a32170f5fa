"""Names and words of a text, as far as patterns find them: capitalised words, and the two characters before a Chinese company's suffix.

Linked companies (models.entities) say it better where there are any; these serve for all others.
"""

from __future__ import annotations

import re
from itertools import zip_longest

MOST_NAMES = 12
"""Names kept, in the order of the text."""
MOST_TERMS = 320
"""Words or pairs of characters kept."""

_SUFFIXES = re.findall(
    r"\w+",
    "城商银行 农村商业银行 农商银行 农商行 银行 证券 期货 信托 保险 人寿 基金 资管 资本 消费金融 消金 金融 集团 股份 控股 实业 科技 技术 微电子 电子 半导体 芯片 智能 "
    "软件 信息 网络 网盘 数据 通信 电信 光电 显示 仪器 汽车 摩托 新能源 能源 光伏 风电 锂电 锂业 电池 电力 核电 电气 石化 石油 化工 化学 新材料 新材 材料 钢铁 铝业 "
    "铜业 镍业 矿业 煤业 稀土 黄金 水泥 建材 重机 重工 机械 机床 机器人 无人机 造船 航运 海运 物流 快递 港口 港务 航空 铁路 药业 制药 医药 医疗 生物 乳业 食品 酒业 "
    "饮料 咖啡 茶饮 餐饮 超市 商业 百货 商城 地产 置业 建设 文旅 旅游 影业 传媒 教育 渔业 农业 牧业 养殖 环保 环境 水务 燃气 服饰 童装 纸业 玩具 家居 家电 电器 支付",
)
_STEM = re.compile(rf"(?P<stem>[\u4e00-\u9fff]{{2}})(?:{'|'.join(_SUFFIXES)})")
_OPENING = re.compile(r"(?:^|[\n】])(?P<stem>[\u4e00-\u9fff]{2})[\u4e00-\u9fff]{0,8}:")
_NO_STEM = re.compile(
    r"^[和与及]|[的了在由被将为向对从等该其各本某一两三四五六七八九十多个家款只]"
    r"|快讯|突发|独家|收评|早盘|午评|中国|我国|全国|美国|英国|德国|法国|日本|韩国|欧洲|印度|香港|北京|上海|深圳|国内|海外|全球|公司|股票|企业|旗下|创新|相关|电动|纯电|动力|行业|亿元|万元|今日|昨日|监管|注册|罚单|正极|统计|机构|产业|报表|代理|监测|充电|控制|板块|概念|新型|国际|第一|股东"
)
_WORD = re.compile(r"[^\W\d_\u4e00-\u9fff\u3040-\u30ff](?:[^\W_\u4e00-\u9fff\u3040-\u30ff]|[&.](?=[A-Za-z]))*")
_HAN = re.compile(r"[\u4e00-\u9fff]+")
_BEGINS = re.compile(r"[.!?][\"')]? $")
"""What stands before the first word of a later sentence."""
_NO_NAMES = frozenset(
    re.findall(
        r"\S+",
        # small words and those that begin headlines
        "a an and are as at be but by for from had has have he her his how if in into is it its more most no not of off on or our out over she so some than that the "
        "their then there they this to two three four five six seven eight nine ten up was we were what when where which while who why will with you your after all also "
        "another any before between both could may might would "
        # reprint marks
        "breaking just update exclusive source via reuters bloomberg ap afp xinhua pti said says say told "
        # the calendar
        "monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september october november december jan feb mar apr "
        "jun jul aug sep sept oct nov dec "
        # what half of all companies and reports are called
        "bank banks group holding holdings company companies co corp corporation inc incorporated ltd limited plc llc sa ag se nv spa capital partners international "
        "industries global technologies technology tech energy pharma therapeutics biotech bio software systems services financial foods motors auto airlines air "
        "shipping steel mining gold securities insurance trust fund funds agency ceo cfo chief chairman president director executive officer board q1 q2 q3 q4 fy eps "
        "gaap ipo ebitda revenue sales profit loss net shares share stock stocks market markets earnings results result quarter quarterly annual first second third "
        "fourth half conference call webcast presentation announces announce report reports schedules scheduled date dates release releases investor investors alert "
        "class action shareholder shareholders law firm offices deadline dividend data new us u.s uk u.k eu china chinese beijing hong kong america american europe "
        "european german germany french france british britain japan japanese india indian the",
    )
)


def names_of(text: str) -> list[str]:
    """Names in a text (NFKC), in lower case and the order of the text; of Chinese companies the two characters before their suffix.

    >>> names_of("Fenwick Bank to close 62 branches"), names_of("泗溪化工一车间爆燃")
    (['fenwick'], ['泗溪'])
    """
    english = (word for word in _capitalised(text) if len(word) > 1 and word not in _NO_NAMES)
    chinese = (match["stem"] for pattern in (_OPENING, _STEM) for match in pattern.finditer(text) if not _NO_STEM.search(match["stem"]))
    return list(dict.fromkeys([*chinese, *english]))[:MOST_NAMES]


def _capitalised(text: str) -> list[str]:
    """Capitalised words in lower case; not those that begin a later sentence alone, or are written small elsewhere."""
    matches = list(_WORD.finditer(text))
    small = {match[0] for match in matches if match[0].islower()}
    found = []
    for match, behind in zip_longest(matches, matches[1:]):
        word = match[0].casefold()
        if not match[0][0].isupper() or word in small:
            continue
        begins = _BEGINS.search(text, max(0, match.start() - 4), match.start()) is not None
        if not begins or (behind is not None and behind[0][0].isupper()):
            found.append(word)
    return found


def terms_of(text: str) -> list[str]:
    """Words in lower case and pairs of Chinese characters of a text (NFKC).

    >>> terms_of("AI赋能银行: Buy AI")
    ['ai', 'buy', '赋能', '能银', '银行']
    """
    words = [match[0].casefold() for match in _WORD.finditer(text)]
    pairs = [run[0][at : at + 2] for run in _HAN.finditer(text) for at in range(len(run[0]) - 1)]
    return list(dict.fromkeys([*words, *pairs]))[:MOST_TERMS]
