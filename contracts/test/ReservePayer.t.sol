// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {FixedSupplyToken} from "../bench/FixedSupplyToken.sol";
import {ReservePayer} from "../src/ReservePayer.sol";
import {SettlementBase} from "../src/SettlementBase.sol";
import {SettlementTest} from "./Settlement.sol";
import {vm} from "./Vm.sol";

contract ReservePayerTest is SettlementTest {
    uint256 private constant RESERVE = 3_000_000e18;

    ReservePayer private payer;

    event Withdrawn(address indexed to, uint256 amount);

    function setUp() public override {
        super.setUp();
        FixedSupplyToken live = new FixedSupplyToken(address(this), 250_000_000e18);
        payer = new ReservePayer(live, address(timelock), signer, guardian, CAPACITY, REFILL);
        live.transfer(address(payer), RESERVE);
        (target, money) = (payer, live);
    }

    function emptyWord() internal pure override returns (bytes4) {
        return ReservePayer.EmptyWord.selector;
    }

    function test_pays_from_the_reserve() public {
        settleNext(ALICE, 7e18, 2);
        vm.assertEq(payer.reserveWei(), RESERVE - 7e18);
        vm.assertEq(money.totalSupply(), 250_000_000e18);
    }

    function testFuzz_pays_every_word_to_the_wei(uint96[6] calldata amounts) public {
        bytes32[] memory packed = new bytes32[](6);
        uint256 sum = 0;
        for (uint256 i = 0; i < 6; ++i) {
            uint96 amount = uint96(clamp(amounts[i], 1, CAPACITY / 6));
            packed[i] = word(address(uint160(0xF00 + i)), amount);
            sum += amount;
        }
        trySettle(1, 16 * 6, packed);
        for (uint256 i = 0; i < 6; ++i) {
            vm.assertEq(money.balanceOf(address(uint160(0xF00 + i))), uint96(uint256(packed[i])));
        }
        vm.assertEq(payer.reserveWei(), RESERVE - sum);
    }

    function test_an_empty_reserve_pays_nothing_and_takes_no_number() public {
        vm.prank(address(timelock));
        payer.withdraw(BOB, RESERVE - 5);
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(ReservePayer.ReserveTooSmall.selector, 6, 5));
        payer.settle(1, new bytes(16), ROOT, words(word(ALICE, 6)));
        vm.assertEq(payer.nextId(), 1);
        settleNext(ALICE, 5, 1);
        vm.assertEq(payer.reserveWei(), 0);
    }

    function test_the_timelock_withdraws_also_during_a_pause() public {
        vm.prank(guardian);
        payer.pause(uint48(block.timestamp + 1 days));
        vm.expectEmit();
        emit Withdrawn(BOB, 9e18);
        vm.prank(address(timelock));
        payer.withdraw(BOB, 9e18);
        vm.assertEq(money.balanceOf(BOB), 9e18);
        vm.assertEq(payer.reserveWei(), RESERVE - 9e18);
    }

    function testFuzz_nobody_else_withdraws(address caller) public {
        if (caller == address(timelock)) caller = signer;
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(SettlementBase.NotTimelock.selector, caller));
        payer.withdraw(caller, 1);
    }

    function test_a_word_of_the_payers_own_is_refused() public {
        vm.prank(signer);
        vm.expectRevert(
            abi.encodeWithSelector(ReservePayer.PaidOtherThanOwed.selector, 2e18, RESERVE, RESERVE)
        );
        payer.settle(1, new bytes(16), ROOT, words(word(address(payer), 2e18)));
    }

    function test_a_token_that_takes_more_than_the_amount_is_refused() public {
        FeeToken dear = new FeeToken();
        ReservePayer cheated = new ReservePayer(dear, address(timelock), signer, guardian, CAPACITY, REFILL);
        dear.transfer(address(cheated), 100);
        uint256 held = cheated.reserveWei();
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(ReservePayer.PaidOtherThanOwed.selector, 10, held, held - 11));
        cheated.settle(1, new bytes(16), ROOT, words(word(ALICE, 10)));
    }

    function test_a_token_that_answers_false_is_refused() public {
        RefusingToken token_ = new RefusingToken();
        ReservePayer unlucky =
            new ReservePayer(IERC20(address(token_)), address(timelock), signer, guardian, CAPACITY, REFILL);
        vm.prank(signer);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token_)));
        unlucky.settle(1, new bytes(16), ROOT, words(word(ALICE, 10)));
    }

    function test_is_not_born_without_token_or_timelock() public {
        vm.expectRevert(SettlementBase.ZeroAddress.selector);
        new ReservePayer(IERC20(address(0)), address(timelock), signer, guardian, 1, 1);
        vm.expectRevert(SettlementBase.ZeroAddress.selector);
        new ReservePayer(money, address(0), signer, guardian, 1, 1);
    }
}

/// @dev Burns one wei of the sender's beside each transfer.
contract FeeToken is ERC20 {
    constructor() ERC20("Fee", "FEE") {
        _mint(msg.sender, 1_000);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && to != address(0)) super._update(from, address(0), 1);
    }
}

/// @dev Says no instead of reverting.
contract RefusingToken {
    function balanceOf(address) external pure returns (uint256) {
        return 1_000;
    }

    function transfer(address, uint256) external pure returns (bool) {
        return false;
    }
}
